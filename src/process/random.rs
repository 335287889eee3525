/*!
Random numbers that nobody can guess.
*/

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// Returns two random bytes from the kernel; getrandom(2). Fails if the kernel has not yet collected enough
/// randomness after its start, because a run may not wait for it.
pub fn random_u16() -> io::Result<u16> {
    let mut bytes = [0; 2];
    // The kernel never returns fewer bytes of so few.
    getrandom(&mut bytes, GetRandomFlags::NONBLOCK)?;
    Ok(u16::from_ne_bytes(bytes))
}
