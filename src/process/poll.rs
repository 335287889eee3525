/*!
Waiting for descriptors with poll(2).

Supervisors pass the connection to this program as descriptors 0, 1 and 2. Other processes may share
them, and `O_NONBLOCK` would change them for those processes too. So the flag stays as it is, and the
program polls a descriptor before it reads or writes.
*/

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// A descriptor, and what to wait for on it.
pub type Interest<'fd> = (BorrowedFd<'fd>, PollFlags);

/// How long to sleep before the next attempt if a system call failed for lack of memory.
pub const RETRY_PAUSE: Duration = Duration::from_millis(1);

/// Waits until one of `fds` is ready, broken or at its end, or until the instant `until`. Returns for
/// each of them whether it is, and `false` for `None`.
///
/// Fails at once if the kernel lacks memory (`ENOMEM`), or if the process may have fewer open
/// descriptors than `fds` holds (`EINVAL`).
pub fn ready<const N: usize>(
    fds: [Option<Interest<'_>>; N],
    until: Instant,
) -> Result<[bool; N], Errno> {
    let present = fds.iter().flatten();
    let mut polled: Vec<_> =
        present.map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match poll(&mut polled, Timespec::try_from(left).ok().as_ref()) {
            Err(Errno::INTR) if !left.is_zero() => {}
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    let mut polled = polled.iter();
    Ok(fds.map(|fd| fd.is_some() && polled.next().is_some_and(|fd| !fd.revents().is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    fn readable(stream: &UnixStream) -> Option<Interest<'_>> {
        Some((stream.as_fd(), PollFlags::IN))
    }

    #[test]
    fn only_descriptors_that_are_ready_are_returned_as_ready() {
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(b"x").unwrap();
        let later = Instant::now() + Duration::from_secs(60);
        let fds = [None, readable(&here), readable(&there)];
        assert_eq!(ready(fds, later), Ok([false, false, true]));
    }

    #[test]
    fn a_descriptor_whose_peer_is_closed_is_ready() {
        let (here, there) = UnixStream::pair().unwrap();
        drop(there);
        let later = Instant::now() + Duration::from_secs(60);
        assert_eq!(ready([readable(&here)], later), Ok([true]));
    }

    #[test]
    fn nothing_is_ready_when_the_time_is_up() {
        let (here, _there) = UnixStream::pair().unwrap();
        let fds = [readable(&here)];
        assert_eq!(ready(fds, Instant::now()), Ok([false]));
        let start = Instant::now();
        assert_eq!(ready(fds, start + Duration::from_millis(20)), Ok([false]));
        assert!(start.elapsed() >= Duration::from_millis(20), "{:?}", start.elapsed());
    }
}
