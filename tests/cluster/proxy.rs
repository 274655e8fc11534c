//! A connection to the API server that breaks when the test says so.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What becomes of bytes and of new connections.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Pass,
    /// Nothing moves, and nobody is told: what a dead cable is like.
    Freeze,
    /// Connections are closed, new ones at once.
    Cut,
    /// The proxy has been dropped.
    Over,
}

struct Shared {
    mode: Mutex<Mode>,
    open: Mutex<Vec<TcpStream>>,
    bytes: AtomicU64,
    upstream: u16,
}

/// A TCP proxy on loopback. It closes everything when it is dropped.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Passes everything to a port of loopback.
    pub fn before(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            mode: Mutex::new(Mode::Pass),
            open: Mutex::new(Vec::new()),
            bytes: AtomicU64::new(0),
            upstream,
        });
        let accepts = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if accepts.mode() == Mode::Over {
                    break;
                }
                accepts.connect(stream.unwrap());
            }
        });
        Self { port, shared }
    }

    /// Holds all bytes back, without a word.
    pub fn freeze(&self) {
        self.shared.set(Mode::Freeze);
    }

    /// Closes every connection, and each new one.
    pub fn cut(&self) {
        self.shared.set(Mode::Cut);
        self.shared.close();
    }

    /// Closes every connection; new ones pass.
    pub fn drop_connections(&self) {
        self.shared.close();
    }

    /// All is well again.
    pub fn pass(&self) {
        self.shared.set(Mode::Pass);
    }

    /// How many bytes have passed, both ways together.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.set(Mode::Over);
        self.shared.close();
        // Wakes the thread that waits for connections, so that it ends.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn mode(&self) -> Mode {
        *self.mode.lock().unwrap()
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    fn close(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            // The other end may have closed it.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn connect(self: &Arc<Self>, near: TcpStream) {
        if self.mode() == Mode::Cut {
            return;
        }
        // The server may be down.
        let Ok(far) = TcpStream::connect(("127.0.0.1", self.upstream)) else { return };
        let clone = |stream: &TcpStream| stream.try_clone().unwrap();
        self.open.lock().unwrap().extend([clone(&near), clone(&far)]);
        for (from, to) in [(clone(&near), clone(&far)), (far, near)] {
            let shared = self.clone();
            thread::spawn(move || shared.copy(from, to));
        }
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            while self.mode() == Mode::Freeze {
                thread::sleep(Duration::from_millis(10));
            }
            self.bytes.fetch_add(length as u64, Ordering::Relaxed);
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}
