//! What a service that is asked over HTTP can do wrong.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::{Server, hold, response};

/// A server for each fault, and what the agent, given 400 ms, has to say of it.
pub fn http_servers() -> Vec<(Server, &'static str)> {
    let faults: [(fn(&mut TcpStream), _); 13] = [
        (hold, "no answer within 400 ms"),
        (drip, "no answer within 400 ms"),
        (send_a_part_and_hold, "no answer within 400 ms"),
        (send_interim_answers, "no answer within 400 ms"),
        (send_endless_header, "sent no valid HTTP"),
        (send_long_header, "sent too long a header"),
        (send_endless_body, "sent more than 1 MiB"),
        (send_large_body, "sent more than 1 MiB"),
        (send_truncated_body, "closed the connection within the answer"),
        (|_| {}, "closed the connection within the answer"),
        (|stream| send(stream, response("503 Busy", b"{}")), "answered HTTP 503"),
        (|stream| send(stream, response("404 Not Found", b"")), "answered HTTP 404"),
        (redirect, "answered HTTP 302; redirects are not followed"),
    ];
    faults.into_iter().map(|(fault, why)| (Server::start(fault), why)).collect()
}

/// Sends what the other end takes of this.
pub fn send(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    let _ = stream.write_all(bytes.as_ref());
}

/// Sends this until the other end has enough.
pub fn send_for_ever(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    while stream.write_all(bytes.as_ref()).is_ok() {}
}

fn drip(stream: &mut TcpStream) {
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n".iter().cycle() {
        if stream.write_all(&[*byte]).is_err() {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn send_a_part_and_hold(stream: &mut TcpStream) {
    send(stream, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}");
    hold(stream);
}

fn send_interim_answers(stream: &mut TcpStream) {
    send_for_ever(stream, "HTTP/1.1 102 Processing\r\n\r\n");
}

fn send_endless_header(stream: &mut TcpStream) {
    send(stream, "HTTP/1.1 200 OK\r\n");
    send_for_ever(stream, "X-Long: yes\r\n");
}

fn send_long_header(stream: &mut TcpStream) {
    send(stream, format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(200_000)));
}

fn send_endless_body(stream: &mut TcpStream) {
    send(stream, "HTTP/1.1 200 OK\r\n\r\n");
    send_for_ever(stream, [b' '; 65536]);
}

/// What is asked for is there, with one byte too many.
fn send_large_body(stream: &mut TcpStream) {
    let mut body = b"streams_hls=1\n".to_vec();
    body.resize((1 << 20) + 1, b'\n');
    send(stream, response("200 OK", &body));
}

fn send_truncated_body(stream: &mut TcpStream) {
    send(stream, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nstreams_hls=1\n");
}

fn redirect(stream: &mut TcpStream) {
    send(stream, "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n");
}
