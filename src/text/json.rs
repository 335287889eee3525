/*!
JSON in which only the wanted values are decoded.

A service may send any JSON, and it must not make a run late or large. So a document is checked in one
pass, which decodes nothing and works at any depth. A value is decoded when it is asked for. An odd
value, such as a number out of range, makes only itself unreadable.
*/

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The longest string that is decoded, in bytes as written in the document. Names, times and figures are
/// far shorter.
const LONGEST_TEXT: usize = 1024;

/// The memory that reading JSON takes at most, in bytes for each byte. A name needs up to four times its size,
/// because its buffer doubles while it grows.
pub const MEMORY_PER_BYTE: usize = 4;

/// A value in a document that has been checked.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(&'a str);

/// A part of a document, in the order in which the document is written.
#[derive(Clone, Copy, Debug)]
pub enum Token<'a> {
    /// The beginning of an object.
    Object,
    /// The beginning of a list.
    List,
    /// The end of the object or the list that was begun last.
    End,
    /// The name of a member. Its value follows.
    Name(Json<'a>),
    /// Any other value.
    Value(Json<'a>),
}

/// Where a document is not valid JSON. Both numbers count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotJson {
    pub line: usize,
    /// In bytes.
    pub column: usize,
}

/// A value is not a list, or the list is too long.
#[derive(Debug, PartialEq, Eq)]
pub struct NotAList;

impl<'a> Json<'a> {
    /// Returns the value that a document consists of, or `None` if the document is not valid JSON.
    pub fn parse(document: &'a [u8]) -> Option<Self> {
        Self::checked(document).ok()
    }

    /// Does what [`Json::parse`] does, and says where the document is not valid.
    pub fn checked(document: &'a [u8]) -> Result<Self, NotJson> {
        serde_json::from_slice::<&RawValue>(document)
            .map(Self::of)
            .map_err(|error| NotJson { line: error.line(), column: error.column() })
    }

    /// Returns the value at the start of a text, or `None` if there is none. Anything may follow it.
    pub fn at_start_of(text: &'a [u8]) -> Option<Self> {
        let mut values = serde_json::Deserializer::from_slice(text).into_iter::<&RawValue>();
        values.next()?.ok().map(Self::of)
    }

    fn of(value: &'a RawValue) -> Self {
        Self(value.get())
    }

    /// Returns the value as it is written in the document.
    pub fn written(self) -> &'a str {
        self.0
    }

    /// Returns the member of an object with this name. If a name is repeated, the last one wins. Returns
    /// `None` if there is no such member, if it is null, or if the value is not an object.
    pub fn get(self, name: &str) -> Option<Self> {
        let [member] = self.members([name]);
        member
    }

    /// Does what [`Json::get`] does, for several names in one pass.
    pub fn members<const N: usize>(self, names: [&str; N]) -> [Option<Self>; N] {
        let mut members = [None; N];
        // A value that is not an object has no members.
        let _ = self.for_each_member(|name, value| {
            for (wanted, member) in names.iter().zip(&mut members) {
                if *wanted == name {
                    *member = Some(value).filter(|value| value.0 != "null");
                }
            }
        });
        members
    }

    /// Calls `take` with the name and the value of each member of an object. Fails if the value is not an
    /// object, and at a name that is not valid Unicode (half of a surrogate pair).
    pub fn for_each_member(self, take: impl FnMut(&str, Self)) -> Result<(), serde_json::Error> {
        serde_json::Deserializer::from_str(self.0).deserialize_map(Members { take })
    }

    /// Returns the elements of a list. Fails if the value is not a list, or has more than `most` elements.
    pub fn elements(self, most: usize) -> Result<Vec<Self>, NotAList> {
        serde_json::Deserializer::from_str(self.0)
            .deserialize_seq(Elements { most })
            .map_err(|_| NotAList)
    }

    /// The parts of the value, at any depth.
    pub fn tokens(self) -> impl Iterator<Item = Token<'a>> + Clone {
        Tokens { rest: self.0 }
    }

    /// Whether the value is a string that stands for `text`.
    pub fn is_text(self, text: &str) -> bool {
        let Some(inside) = self.0.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
            return false;
        };
        // An escape takes at most six bytes for each byte that it stands for.
        let may_be_equal = (text.len()..=6 * text.len()).contains(&inside.len());
        match may_be_equal && inside.contains('\\') {
            true => serde_json::from_str::<String>(self.0).is_ok_and(|decoded| decoded == text),
            false => inside == text,
        }
    }

    /// Returns the text of a string. Returns `None` for any other value, and for a string of more than
    /// 1024 bytes.
    pub fn text(self) -> Option<String> {
        // Checked first, because a parser's error costs more time.
        let is_short_string = self.0.starts_with('"') && self.0.len() <= LONGEST_TEXT;
        if is_short_string { serde_json::from_str(self.0).ok() } else { None }
    }
}

/// The rest of a document that has been checked.
#[derive(Clone, Copy)]
struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    /// Takes the first `length` bytes.
    fn take(&mut self, length: usize) -> Option<&'a str> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        // Commas and colons need no token of their own: the document is valid.
        let is_between = |c| matches!(c, ' ' | '\t' | '\r' | '\n' | ',' | ':');
        self.rest = self.rest.trim_start_matches(is_between);
        match self.rest.bytes().next()? {
            b'{' => self.take(1).map(|_| Token::Object),
            b'[' => self.take(1).map(|_| Token::List),
            b'}' | b']' => self.take(1).map(|_| Token::End),
            b'"' => {
                let length = string_length(self.rest);
                let string = Json(self.take(length)?);
                let is_blank = |c| matches!(c, ' ' | '\t' | '\r' | '\n');
                let is_name = self.rest.trim_start_matches(is_blank).starts_with(':');
                Some(if is_name { Token::Name(string) } else { Token::Value(string) })
            }
            _ => {
                let is_end = |c| matches!(c, ' ' | '\t' | '\r' | '\n' | ',' | '}' | ']');
                let length = self.rest.find(is_end).unwrap_or(self.rest.len());
                self.take(length).map(|written| Token::Value(Json(written)))
            }
        }
    }
}

/// The length of the string at the start of a text, with its quotes.
fn string_length(text: &str) -> usize {
    let mut bytes = text.bytes().enumerate().skip(1);
    while let Some((place, byte)) = bytes.next() {
        match byte {
            b'"' => return place + 1,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    text.len()
}

/// Passes an object's members to `take`.
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

/// Collects the elements of a list, at most `most`.
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
    fn a_document_is_json_only_as_a_whole() {
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
    fn the_last_member_of_a_name_wins_and_null_counts_as_absent() {
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
    fn a_list_has_at_most_the_expected_number_of_elements() {
        let written = |document, most| {
            let elements = json(document).elements(most)?;
            Ok(elements.into_iter().map(Json::written).collect::<Vec<_>>())
        };
        assert_eq!(written("[]", 0), Ok(vec![]));
        assert_eq!(written("[1, {}]", 2), Ok(vec!["1", "{}"]));
        assert_eq!(written("[1, {}]", 1), Err(NotAList));
        for other in ["{}", "5", "\"a\"", "null"] {
            assert_eq!(written(other, 9), Err(NotAList), "{other}");
        }
    }

    #[test]
    fn tokens_are_the_parts_of_a_document_in_their_order() {
        let shown = |document| {
            let tokens = json(document).tokens().map(|token| match token {
                Token::Object => "{".to_owned(),
                Token::List => "[".to_owned(),
                Token::End => ".".to_owned(),
                Token::Name(name) => format!("{}:", name.written()),
                Token::Value(value) => value.written().to_owned(),
            });
            tokens.collect::<Vec<_>>().join(" ")
        };
        for (document, tokens) in [
            ("{}", "{ ."),
            (" 5 ", "5"),
            (r#""a\"b""#, r#""a\"b""#),
            (
                r#"{"a" : 1 , "b":[-2e5, {"c\\":"}"}],"d":null}"#,
                r#"{ "a": 1 "b": [ -2e5 { "c\\": "}" . . "d": null ."#,
            ),
            ("[true,[[\"x\"],\n\"y\"]]", "[ true [ [ \"x\" . \"y\" . ."),
        ] {
            assert_eq!(shown(document), tokens);
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(json(&deep).tokens().count(), 200_000);
    }

    #[test]
    fn a_string_is_compared_as_it_is_meant() {
        for (written, text) in [
            (r#""a""#, "a"),
            (r#""a\u0062""#, "ab"),
            (r#""\ud83d\ude00\n""#, "\u{1f600}\n"),
            (r#""""#, ""),
        ] {
            assert!(json(written).is_text(text), "{written}");
        }
        for other in [r#""ab""#, r#""\n""#, r#""\ud800""#, "5", "null", "[]", r#""\u0061b""#] {
            assert!(!json(other).is_text("a"), "{other}");
        }
        assert!(!json("5").is_text("5"));
    }

    #[test]
    fn the_place_of_a_mistake_is_told() {
        let place = |document: &str| Json::checked(document.as_bytes()).map(drop);
        assert_eq!(place("{}"), Ok(()));
        assert_eq!(place("{\n \"a\": 1,}"), Err(NotJson { line: 2, column: 9 }));
        assert_eq!(place(""), Err(NotJson { line: 1, column: 0 }));
    }

    #[test]
    fn only_a_short_string_has_a_text() {
        assert_eq!(json(r#""a\u0062\n""#).text(), Some("ab\n".to_owned()));
        for other in ["{}", "5", "[\"a\"]", "null", "true", r#""\ud800""#] {
            assert_eq!(json(other).text(), None, "{other}");
        }
        let long = |length| format!("\"{}\"", "x".repeat(length - 2));
        assert!(json(&long(LONGEST_TEXT)).text().is_some());
        assert!(json(&long(LONGEST_TEXT + 1)).text().is_none());
    }

    #[test]
    fn a_document_may_be_nested_to_any_depth() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let document = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
            assert!(Json::parse(document.as_bytes()).is_some());
            assert!(Json::parse(&document.as_bytes()[1..]).is_none());
        }
    }
}
