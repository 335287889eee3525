/*!
Checks that there is enough memory before the program uses it.

If an allocation fails, the standard library ends the process: HAProxy gets no reply, and a message
goes to descriptor 2, which may be the connection. So the program allocates and frees a large amount
once beforehand, in a way that can fail. This takes two system calls if the amount is large and none
if it is small. The kernel provides no pages, because nothing is written to them.

Apart from what servers send, a run fits into the heap that it starts with.
*/

use std::error::Error;
use std::fmt;
use std::hint::black_box;

use rustix::process::{Resource, getrlimit};

/// There is too little memory for what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

impl Error for OutOfMemory {}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too little memory")
    }
}

/// Fails if an allocation of this many bytes would end the process.
pub fn check_heap(bytes: usize) -> Result<(), OutOfMemory> {
    let mut memory: Vec<u8> = Vec::new();
    let reserved = memory.try_reserve_exact(bytes);
    // `black_box` keeps the compiler from removing the unused allocation.
    black_box(memory);
    reserved.map_err(|_| OutOfMemory)
}

/// Fails if the main thread's stack may not grow to this many bytes; see `RLIMIT_STACK` in getrlimit(2).
pub fn check_stack(bytes: u64) -> Result<(), OutOfMemory> {
    match getrlimit(Resource::Stack).current {
        Some(limit) if limit < bytes => Err(OutOfMemory),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_address_space_is_out_of_memory() {
        assert_eq!(check_heap(0), Ok(()));
        assert_eq!(check_heap(1024 * 1024), Ok(()));
        assert_eq!(check_heap(isize::MAX as usize), Err(OutOfMemory));
        assert_eq!(check_heap(usize::MAX), Err(OutOfMemory));
    }

    #[test]
    fn the_stack_may_grow_to_its_limit() {
        assert_eq!(check_stack(0), Ok(()));
        if let Some(limit) = getrlimit(Resource::Stack).current {
            assert_eq!(check_stack(limit), Ok(()));
            assert_eq!(check_stack(limit + 1), Err(OutOfMemory));
        }
    }
}
