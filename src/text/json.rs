/*!
JSON that is looked into only where something is asked for.

To check that a document is one takes no memory, and the time of reading it once, whatever it holds; nothing
is made of what is not asked for. So a service's answer cannot make a run late or large, and what is odd in
it (numbers beyond all range, say) spoils only itself.
*/

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The longest text that is read, in bytes as it is written: names, times and figures are far shorter.
const LONGEST_TEXT: usize = 1024;

/// A value within a document that has been checked.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(&'a str);

/// Why a value is not taken for a list.
#[derive(Debug, PartialEq, Eq)]
pub struct NoList;

impl<'a> Json<'a> {
    /// The value that a document holds; `None` if it is no JSON.
    pub fn parse(document: &'a [u8]) -> Option<Self> {
        serde_json::from_slice::<&RawValue>(document).ok().map(Self::of)
    }

    /// The value that a text begins with; `None` if it begins with none.
    pub fn at_start_of(text: &'a [u8]) -> Option<Self> {
        let mut values = serde_json::Deserializer::from_slice(text).into_iter::<&RawValue>();
        values.next()?.ok().map(Self::of)
    }

    fn of(value: &'a RawValue) -> Self {
        Self(value.get())
    }

    /// The value as it is written in the document.
    pub fn written(self) -> &'a str {
        self.0
    }

    /// The member of an object by this name: the last, if there are several, and none that is null.
    pub fn get(self, name: &str) -> Option<Self> {
        let [member] = self.members([name]);
        member
    }

    /// The same for several names.
    pub fn members<const N: usize>(self, names: [&str; N]) -> [Option<Self>; N] {
        let mut members = [None; N];
        // Another value has no members.
        let _ = self.for_each_member(|name, value| {
            for (wanted, member) in names.iter().zip(&mut members) {
                if *wanted == name {
                    *member = Some(value).filter(|value| value.0 != "null");
                }
            }
        });
        members
    }

    /// Hands the name and the value of each member of an object to `take`. Fails for another value, and at a
    /// name that is no text: half a pair of surrogates.
    pub fn for_each_member(self, take: impl FnMut(&str, Self)) -> Result<(), serde_json::Error> {
        serde_json::Deserializer::from_str(self.0).deserialize_map(Members { take })
    }

    /// The elements of a list of no more than `most`. Fails for a longer one, and for what is no list.
    pub fn elements(self, most: usize) -> Result<Vec<Self>, NoList> {
        serde_json::Deserializer::from_str(self.0)
            .deserialize_seq(Elements { most })
            .map_err(|_| NoList)
    }

    /// What a string says; `None` for another value, and for one that is longer than [`LONGEST_TEXT`].
    pub fn text(self) -> Option<String> {
        // Looked at first, since to be told of an error takes longer.
        let is_short_string = self.0.starts_with('"') && self.0.len() <= LONGEST_TEXT;
        if is_short_string { serde_json::from_str(self.0).ok() } else { None }
    }
}

/// Takes an object's members.
struct Members<T> {
    take: T,
}

impl<'de, T: FnMut(&str, Json<'de>)> Visitor<'de> for Members<T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut object: M) -> Result<(), M::Error> {
        while let Some((name, value)) = object.next_entry::<Cow<'de, str>, &'de RawValue>()? {
            (self.take)(&name, Json::of(value));
        }
        Ok(())
    }
}

/// Collects a list's elements.
struct Elements {
    most: usize,
}

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<Json<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Self::Value, S::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            if elements.len() == self.most {
                return Err(S::Error::custom("a longer list than is expected"));
            }
            elements.push(Json::of(element));
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(document: &str) -> Json<'_> {
        Json::parse(document.as_bytes()).unwrap()
    }

    #[test]
    fn only_a_whole_document_is_json() {
        for document in ["{}", " [1, 2] ", "5", "\"a\"", "null", "{\"a\": 1e999}"] {
            assert!(Json::parse(document.as_bytes()).is_some(), "{document}");
        }
        for document in ["", "{", "{\"a\": 1", "{\"a\": 1} x", "{\"a\": 1,}", "nan", "\"\u{1}\""] {
            assert!(Json::parse(document.as_bytes()).is_none(), "{document}");
        }
        assert!(Json::parse(b"{\"a\": \"\xff\"}").is_none());
        assert_eq!(Json::at_start_of(b"{} x").map(Json::written), Some("{}"));
        assert!(Json::at_start_of(b"x {}").is_none());
    }

    #[test]
    fn a_member_is_the_last_of_its_name_and_null_is_none() {
        let object = json(r#"{"a": 1, "b": {"a": 2}, "a": [3], "\u0063": "d", "n": 5, "n": null}"#);
        for (name, written) in [
            ("a", Some("[3]")),
            ("b", Some(r#"{"a": 2}"#)),
            ("c", Some("\"d\"")),
            ("n", None),
            ("x", None),
        ] {
            assert_eq!(object.get(name).map(Json::written), written, "{name}");
        }
        let [b, x, a] = object.members(["b", "x", "a"]).map(|member| member.map(Json::written));
        assert_eq!((b, x, a), (Some(r#"{"a": 2}"#), None, Some("[3]")));
        for other in ["[]", "5", "\"a\"", "null", r#"{"\ud800": 1, "a": 2}"#] {
            assert!(json(other).get("a").is_none(), "{other}");
            assert!(json(other).for_each_member(|_, _| {}).is_err(), "{other}");
        }
    }

    #[test]
    fn a_list_has_no_more_elements_than_are_expected() {
        let written = |document, most| {
            let elements = json(document).elements(most)?;
            Ok(elements.into_iter().map(Json::written).collect::<Vec<_>>())
        };
        assert_eq!(written("[]", 0), Ok(vec![]));
        assert_eq!(written("[1, {}]", 2), Ok(vec!["1", "{}"]));
        assert_eq!(written("[1, {}]", 1), Err(NoList));
        for other in ["{}", "5", "\"a\"", "null"] {
            assert_eq!(written(other, 9), Err(NoList), "{other}");
        }
    }

    #[test]
    fn only_a_string_is_a_text() {
        assert_eq!(json(r#""a\u0062\n""#).text(), Some("ab\n".to_owned()));
        for other in ["{}", "5", "[\"a\"]", "null", "true", r#""\ud800""#] {
            assert_eq!(json(other).text(), None, "{other}");
        }
        let long = |length| format!("\"{}\"", "x".repeat(length - 2));
        assert!(json(&long(LONGEST_TEXT)).text().is_some());
        assert!(json(&long(LONGEST_TEXT + 1)).text().is_none());
    }

    #[test]
    fn no_depth_is_too_deep() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let document = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
            assert!(Json::parse(document.as_bytes()).is_some());
            assert!(Json::parse(&document.as_bytes()[1..]).is_none());
        }
    }
}
