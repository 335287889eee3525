/*!
Whether there is enough memory for what comes next.

Where an allocation fails, the standard library ends the process: no line for HAProxy, and a message
of its own on what may be the connection. So the memory is asked for, and given back, beforehand. It
costs two system calls where much is asked for, since nothing of it is touched, and none where little
is.

What a run needs apart from the answers of others fits into the heap that it starts with.
*/

use std::hint::black_box;

use rustix::process::{Resource, getrlimit};

use crate::net::error::AskError;

/// The stack that asking over the network may take, in bytes; HTTP alone takes 48 KiB.
const STACK: u64 = 256 * 1024;

/// Fails if asking with so many bytes of heap, and with the stack that it takes, would kill the process.
pub fn to_ask(heap: usize) -> Result<(), AskError> {
    match getrlimit(Resource::Stack).current {
        Some(..STACK) => Err(AskError::Memory),
        _ => to_allocate(heap),
    }
}

/// Fails if allocating so many bytes would kill the process.
pub fn to_allocate(heap: usize) -> Result<(), AskError> {
    if can_allocate(heap) { Ok(()) } else { Err(AskError::Memory) }
}

/// Whether so many bytes can be allocated.
pub fn can_allocate(bytes: usize) -> bool {
    let mut memory: Vec<u8> = Vec::new();
    let is_there = memory.try_reserve_exact(bytes).is_ok();
    // Without this the compiler sees that nobody uses the memory, and takes it as given.
    black_box(memory);
    is_there
}
