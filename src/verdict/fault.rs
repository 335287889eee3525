//! What is wrong with a server, or why that could not be found out.

use std::error::Error;

/// An error of whichever module found it. It becomes a sentence where it is shown: in the reply, in the
/// table of `--explain` or in the log.
pub type Fault = Box<dyn Error + Send + Sync>;
