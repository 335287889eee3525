//! The KEY of `stat:KEY`: which number of the statistics page is meant.

use crate::text::json_path::{self, Step};
use crate::text::malformed::Malformed;
use crate::text::series::{Quotable, Series, Values};

/// A key of the statistics page. Its form depends only on its text, not on the format of the page.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    text: String,
    form: Form,
}

#[derive(Clone, Debug, PartialEq)]
enum Form {
    /// The name of a key, of a member in JSON, or of a metric.
    Name,
    /// A path in JSON. It begins with a point.
    Path(Vec<Step>),
    /// The name of a metric, and labels in braces.
    Metric { name: String, labels: Vec<(String, String)> },
}

impl Key {
    /// A key that is a name.
    pub fn name(text: &str) -> Self {
        Self { text: text.to_owned(), form: Form::Name }
    }

    /// Parses a key: a path if it begins with a point, a metric with labels if it has an opening brace, and
    /// otherwise a name.
    pub fn parse(text: &str) -> Result<Self, Malformed<'_>> {
        let form = if text.starts_with('.') {
            Form::Path(json_path::parse(text)?)
        } else if text.contains('{') {
            parse_metric(text)?
        } else {
            Form::Name
        };
        Ok(Self { text: text.to_owned(), form })
    }

    /// The key as the request gives it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The steps of a path. `None` for any other key.
    pub fn path(&self) -> Option<&[Step]> {
        match &self.form {
            Form::Path(steps) => Some(steps),
            Form::Name | Form::Metric { .. } => None,
        }
    }

    /// Whether the key means series of the metric with this name.
    pub fn is_metric(&self, name: Quotable) -> bool {
        match &self.form {
            Form::Name => name.is(&self.text),
            Form::Path(_) => false,
            Form::Metric { name: wanted, .. } => name.is(wanted),
        }
    }

    /// Whether a series has all the labels of the key.
    pub fn has_labels_of(&self, series: Series) -> bool {
        let Form::Metric { labels, .. } = &self.form else {
            return true;
        };
        let has = |(name, value): &(String, String)| {
            series.labels().any(|label| label.0.is(name) && label.1.is(value))
        };
        labels.iter().all(has)
    }
}

fn parse_metric(text: &str) -> Result<Form, Malformed<'_>> {
    let (series, rest) = Series::parse(text, Values::Any)?;
    if !rest.is_empty() {
        let problem = "stands after the metric and its labels";
        return Err(Malformed { piece: rest, problem });
    }
    let labels = series.labels().map(|(name, value)| (name.text(), value.text())).collect();
    Ok(Form::Metric { name: series.name.text(), labels })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_means_the_series_that_have_its_name_and_its_labels() {
        let series = |text| Series::parse(text, Values::Quoted).unwrap().0;
        let matches = |key: &str, series: Series| {
            let key = Key::parse(key).unwrap();
            key.is_metric(series.name) && key.has_labels_of(series)
        };
        let webrtc = series(r#"media_streams{kind="webrtc",path="live/a b"}"#);
        for key in [
            "media_streams",
            "media_streams{}",
            "media_streams{kind=webrtc}",
            "media_streams{path=live/a b}",
            r#"media_streams{path="live/a b",kind="webrtc",}"#,
            r#"{"media_streams",kind=webrtc}"#,
        ] {
            assert!(matches(key, webrtc), "{key}");
        }
        for key in [
            "media",
            "media_streams{kind=rtmp}",
            "media_streams{kind=webrtc,path=live}",
            "media_streams{kind=webrtc,other=}",
            "media{kind=webrtc}",
            ".media_streams",
        ] {
            assert!(!matches(key, webrtc), "{key}");
        }
        let dotted = series(r#"{"a.b",c="\"\\\n"}"#);
        assert!(matches("a.b", dotted));
        assert!(matches(r#"{"a.b",c="\"\\\n"}"#, dotted));
    }

    #[test]
    fn the_wrong_piece_of_a_key_is_named() {
        for (key, piece, problem) in [
            (".a[x]", "[x]", "is not an index"),
            ("a{b=c}d", "d", "stands after the metric and its labels"),
            ("a{b=c", "{", "has no } at the end of the labels"),
            ("a-b{c=d}", "-b{c=d}", "stands after the metric and its labels"),
        ] {
            assert_eq!(Key::parse(key), Err(Malformed { piece, problem }), "{key}");
        }
        for name in ["a", "a/b", "a-b", "a.b", "9", "a}", "a[0]", "a\"b"] {
            assert_eq!(Key::parse(name), Ok(Key::name(name)));
        }
    }
}
