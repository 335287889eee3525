/*!
One question to one name server, over UDP or TCP; RFC 1035, 4.2, and RFC 7766.

Each question has a new identifier and a new socket, and so a new port. Both are hard to guess for somebody
who forges answers.
*/

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Instant;

use rustix::event::PollFlags;
use rustix::io::retry_on_intr;
use rustix::net::{SocketFlags, SocketType, connect, socket_with};

use crate::net::dns::{Answer, Query};
use crate::net::tcp::{Tcp, family_of};
use crate::process::memory;
use crate::process::random::random_u16;
use crate::process::wait::Wait;

/// Room for a packet over UDP, in bytes. RFC 1035, 4.2.1, allows 512; some servers send more.
const PACKET_SIZE: usize = 4096;

/// Sends the question in a packet. Waits for the answer until `until`, and ignores all other packets.
///
/// Fails with [`ErrorKind::TimedOut`] if there is no answer, with another kind if the server cannot be
/// reached, and if the wait ends.
pub fn ask_over_udp(
    query: &mut Query,
    server: SocketAddr,
    until: Instant,
    wait: &Wait,
) -> io::Result<Answer> {
    query.set_id(random_u16()?);
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family_of(&server), SocketType::DGRAM, flags, None)?;
    // The kernel chooses a random port. It then drops packets from any other address than the server's.
    retry_on_intr(|| connect(&socket, &server))?;
    let socket = UdpSocket::from(socket);
    retry(|| socket.send(query.as_bytes()))?;
    let mut buffer = [0; PACKET_SIZE];
    loop {
        wait.until_ready(socket.as_fd(), PollFlags::IN, until)?;
        let length = match retry(|| socket.recv(&mut buffer)) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            length => length?,
        };
        if let Some(answer) = query.read_answer(buffer.get(..length).unwrap_or_default()) {
            return Ok(answer);
        }
    }
}

/// Asks over a TCP connection, until `until`. An answer there should not be cut.
///
/// Fails with [`ErrorKind::TimedOut`] if there is no answer, with another kind if the server cannot be
/// reached or does not answer the question, and if the wait ends.
pub fn ask_over_tcp(
    query: &mut Query,
    server: SocketAddr,
    until: Instant,
    wait: &Wait,
) -> io::Result<Answer> {
    query.set_id(random_u16()?);
    let mut tcp = Tcp::connect_until(&server, until, wait)?;
    let question = query.as_bytes();
    // The length comes first. Some servers answer only if both come in one piece; RFC 7766, 8.
    let length = (question.len() as u16).to_be_bytes();
    tcp.write_all(&[&length, question].concat())?;
    let mut length = [0; 2];
    tcp.read_exact(&mut length)?;
    let length = usize::from(u16::from_be_bytes(length));
    memory::check_heap(length).map_err(|_| ErrorKind::OutOfMemory)?;
    let mut answer = vec![0; length];
    tcp.read_exact(&mut answer)?;
    query.read_answer(&answer).ok_or_else(|| ErrorKind::InvalidData.into())
}

/// Calls `io` again as long as a signal interrupts it.
fn retry(mut io: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match io() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
