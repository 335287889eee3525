//! Reading files that the kernel provides below `/proc` and `/sys`.

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use crate::process::background::{self, BackgroundError};
use crate::process::deadline::Deadline;

/// A file, and the directory at which the kernel's own file system is mounted.
pub type KernelFile = (&'static str, &'static str);

/// Runs `read`, which reads `files`. Returns its result.
///
/// In a container, another process such as lxcfs may provide these files, and may hang. Then `read` runs in
/// the background, and this fails if it misses the deadline.
pub fn read<T, R>(files: &[KernelFile], read: R, deadline: Deadline) -> Result<T, BackgroundError>
where
    T: Send + 'static,
    R: Fn() -> T + Clone + Send + 'static,
{
    match files.iter().all(is_from_kernel) {
        true => Ok(read()),
        false => background::run(read, deadline),
    }
}

/// Whether the file is on the file system that is mounted at the directory. The kernel answers without
/// asking another process. This takes less time than starting a thread.
fn is_from_kernel((file, mount): &KernelFile) -> bool {
    let device_number = |path: &str| {
        let found = statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::empty()).ok()?;
        Some((found.stx_dev_major, found.stx_dev_minor))
    };
    device_number(file).is_some_and(|number| device_number(mount) == Some(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_of_the_mounted_file_system_is_from_the_kernel() {
        assert!(is_from_kernel(&("/proc/loadavg", "/proc")));
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap().to_owned().leak();
        assert!(!is_from_kernel(&(path, "/proc")));
        assert!(!is_from_kernel(&("/proc/nothing", "/proc")));
    }
}
