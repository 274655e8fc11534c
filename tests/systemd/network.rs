//! Servers of the test in a machine's own network, where nothing but its loopback exists.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::thread;

use nix::sched::{CloneFlags, setns};

use crate::host::Host;

pub const PORT: u16 = 8080;

/// Runs on a thread inside the machine's network, until the test ends.
fn inside(host: &Host, serve: impl FnOnce(std::sync::mpsc::Sender<()>) + Send + 'static) {
    let network = File::open(host.namespace("net")).unwrap();
    let (ready, is_ready) = std::sync::mpsc::channel();
    thread::spawn(move || {
        setns(network, CloneFlags::CLONE_NEWNET).unwrap();
        serve(ready);
    });
    is_ready.recv().unwrap();
}

/// A name server on the usual port: this name is the loopback's, and there is no other.
pub fn resolve(host: &Host, name: &str) {
    let labels =
        name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    let known: Vec<u8> = labels.chain([0]).collect();
    inside(host, move |ready| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).unwrap();
        ready.send(()).unwrap();
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let _ = socket.send_to(&answer(&query[..length], &known), from);
        }
    });
}

/// What RFC 1035 has as the answer to a query of one question: an address to type A, none to others.
fn answer(query: &[u8], known: &[u8]) -> Vec<u8> {
    const HEADER: usize = 12;
    let name = query[HEADER..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let question = &query[HEADER..HEADER + name + 4];
    let is_known = question[..name].eq_ignore_ascii_case(known);
    let is_address = question[name..name + 2] == [0, 1];
    let (no_such_name, answers) = (if is_known { 0 } else { 3 }, u8::from(is_known && is_address));
    let mut said = query[..2].to_vec();
    said.extend([0x85, 0x80 | no_such_name, 0, 1, 0, answers, 0, 0, 0, 0]);
    said.extend(question);
    if answers == 1 {
        said.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    said
}

/// A server that answers everything with these documents.
pub fn serve(host: &Host, documents: String) {
    inside(host, move |ready| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).unwrap();
        ready.send(()).unwrap();
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let length = documents.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n\r\n{documents}"
            );
        }
    });
}
