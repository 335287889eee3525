/*!
A simulated media server, for the demonstration. It has the two ports of a Flashphoner WCS that HAProxy and the
agent use.

```text
demo-media-server HOST FILE
    On port 8081 of HOST it answers with FILE, the statistics page. On port 8080, where WCS has its WebSockets,
    it only accepts connections; HAProxy's own check needs no more. It runs until it is killed.
```
*/

use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// How long a client may be silent.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// The limit on a request head, in bytes.
const LIMIT: usize = 8 * 1024;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let result = match &args[..] {
        [host, file] => serve(host, file),
        _ => Err("usage: demo-media-server HOST FILE".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo-media-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(host: &str, file: &str) -> Result<(), Box<dyn Error>> {
    let listen = |port| {
        TcpListener::bind((host, port)).map_err(|error| format!("{host} port {port}: {error}"))
    };
    let (websockets, statistics) = (listen(8080)?, listen(8081)?);
    thread::spawn(move || websockets.incoming().for_each(drop));
    for stream in statistics.incoming() {
        let (stream, file) = (stream?, file.to_owned());
        // If a client goes away, there is nothing to report.
        thread::spawn(move || answer(stream, &file));
    }
    Ok(())
}

/// Answers any request with the present content of the file.
fn answer(mut stream: TcpStream, file: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(REQUEST_TIMEOUT))?;
    // Reads the whole head. If unread input is left, the kernel resets the connection, and the answer may be
    // lost.
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") && head.len() < LIMIT {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => head.extend_from_slice(&buffer[..count]),
        }
    }
    let page = fs::read_to_string(file)?;
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
        page.len()
    )
}
