/*!
Panics as values: a mistake in this program becomes a reply instead of the end of the process.
*/

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};

/// A panic, with its message. Displayed as the sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panic {
    message: String,
}

impl Panic {
    fn new(payload: &dyn Any) -> Self {
        let message = match payload.downcast_ref::<String>() {
            Some(message) => message,
            None => payload.downcast_ref::<&str>().copied().unwrap_or("no message"),
        };
        Self { message: message.to_owned() }
    }
}

impl Error for Panic {}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "internal error, please report it: {}", self.message)
    }
}

/// Keeps panics from writing to descriptor 2, which may be the connection.
pub fn silence() {
    panic::set_hook(Box::new(|_| {}));
}

/// Runs `work`, and returns its result. Fails if `work` panics.
///
/// Whatever `work` has changed before a panic must not be used afterwards: it may be half done.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|payload| Panic::new(&*payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_does_not_panic_has_its_result() {
        assert_eq!(catch(|| 7), Ok(7));
    }

    #[test]
    fn a_panic_is_a_sentence_with_its_message() {
        for (panicked, message) in [
            (catch(|| panic!("at {}", 7)), "at 7"),
            (catch(|| panic!("here")), "here"),
            (catch(|| panic::panic_any(7)), "no message"),
        ] {
            let panic: Panic = panicked.map(|()| "no panic").unwrap_err();
            let sentence = format!("internal error, please report it: {message}");
            assert_eq!(panic.to_string(), sentence);
        }
    }
}
