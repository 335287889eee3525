//! `disk:PATH`: how full a file system is.

use std::error::Error;
use std::fmt;

use rustix::fs::{StatVfs, statvfs};
use rustix::io::Errno;

use crate::values::value::{Source, ValueKind};

pub const DISK: ValueKind = ValueKind {
    name: "disk:PATH",
    unit: "%",
    default_limit: Some(90.0),
    is_default: false,
    source: Source::FileSystem {
        title: "file system",
        read: |path| Ok(used_percent(&statvfs(path).map_err(DiskError::Unavailable)?)?),
    },
};

/// Why the space in use is unavailable.
#[derive(Debug, PartialEq)]
enum DiskError {
    Unavailable(Errno),
    /// The file system stores no files, as `/proc`, or reports no size.
    NoSize,
}

impl Error for DiskError {}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(error) => write!(f, "cannot ask the file system: {error}"),
            Self::NoSize => f.write_str("the file system has no size"),
        }
    }
}

/// The space in use, in percent of what users can use: as df(1) counts it, but not rounded. Space that only
/// root may use does not count.
fn used_percent(file_system: &StatVfs) -> Result<f64, DiskError> {
    let used = file_system.f_blocks.saturating_sub(file_system.f_bfree);
    let usable = used.saturating_add(file_system.f_bavail);
    if usable == 0 {
        return Err(DiskError::NoSize);
    }
    Ok(used as f64 / usable as f64 * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_that_only_root_may_use_does_not_count() {
        let root = statvfs("/").unwrap();
        let of = |f_blocks, f_bfree, f_bavail| {
            used_percent(&StatVfs { f_blocks, f_bfree, f_bavail, ..root })
        };
        assert_eq!(of(100, 60, 40), Ok(50.0));
        assert_eq!(of(100, 60, 60), Ok(40.0));
        assert_eq!(of(100, 5, 0), Ok(100.0));
        assert_eq!(of(100, 100, 100), Ok(0.0));
        assert_eq!(of(0, 0, 0), Err(DiskError::NoSize));
        // A file system may report nonsense.
        assert_eq!(of(1, u64::MAX, u64::MAX), Ok(0.0));
        assert_eq!(of(u64::MAX, 0, u64::MAX), Ok(100.0));
    }
}
