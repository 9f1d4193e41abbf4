//! Listening on one address from several threads, and on no address that somebody else has.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;

use listenfd::ListenFd;
use socket2::{Domain, Socket, Type};
use thiserror::Error;

/// Connections that wait to be accepted; the kernel caps it at its own limit.
const BACKLOG: i32 = 4096;

/// Why we cannot listen.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {problem}")]
pub struct ListenError {
    address: SocketAddr,
    problem: String,
}

/// The socket that a supervisor listens on for us, as systemd does for a unit with a socket (`LISTEN_FDS`): it stays open over a restart, and who
/// connects meanwhile waits in it.
pub fn inherited() -> Result<Option<TcpListener>, InheritedError> {
    let mut handed = ListenFd::from_env();
    if handed.len() > 1 {
        return Err(InheritedError("it handed over several sockets, and one is served; leave one ListenStream".into()));
    }
    let listener = handed.take_tcp_listener(0).map_err(|error| InheritedError(format!("{error}; hand over a TCP socket")))?;
    if let Some(listener) = &listener {
        listener.set_nonblocking(true).map_err(|error| InheritedError(error.to_string()))?;
    }
    Ok(listener)
}

/// Why a socket that a supervisor handed over cannot be served.
#[derive(Debug, Error)]
#[error("cannot serve on the socket that the supervisor holds: {0}")]
pub struct InheritedError(String);

/// A listener for each thread, all on the one socket that was handed over.
pub fn shared(listener: TcpListener, count: NonZeroUsize) -> io::Result<Vec<TcpListener>> {
    let mut listeners = (1..count.get()).map(|_| listener.try_clone()).collect::<io::Result<Vec<_>>>()?;
    listeners.push(listener);
    Ok(listeners)
}

/// As many listeners on one address as there are threads; the kernel spreads connections over them.
///
/// The first takes the address alone, so that a second server cannot slip in beside a running one, and only then lets the
/// others join. Port 0 becomes a free port, the same for all.
pub fn listen(address: SocketAddr, count: NonZeroUsize) -> Result<Vec<TcpListener>, ListenError> {
    let explain = |error: io::Error| ListenError { address, problem: explain(address, &error) };
    let first = socket(address).and_then(|socket| bind_alone(socket, address)).map_err(explain)?;
    let taken = first.local_addr().map_err(explain)?.as_socket().unwrap_or(address);
    let mut sockets = vec![first];
    for _ in 1..count.get() {
        sockets.push(socket(taken).and_then(|socket| join(socket, taken)).map_err(explain)?);
    }
    sockets.into_iter().map(|socket| socket.listen(BACKLOG).map(|()| socket.into())).collect::<Result<_, _>>().map_err(explain)
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Connections of a server that just ended do not keep the next one from starting.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn bind_alone(socket: Socket, address: SocketAddr) -> io::Result<Socket> {
    socket.bind(&address.into())?;
    socket.set_reuse_port(true)?;
    Ok(socket)
}

fn join(socket: Socket, address: SocketAddr) -> io::Result<Socket> {
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn explain(address: SocketAddr, error: &io::Error) -> String {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => format!("another program has port {port}; stop it, or choose another port with --bind"),
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address; choose one of its own with --bind".into(),
        io::ErrorKind::PermissionDenied => format!("this user may not take port {port}; choose one above 1023 with --bind"),
        _ => format!("{error}; choose another address with --bind"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: &str = "127.0.0.1:0";

    #[test]
    fn all_listeners_share_one_port_and_nobody_else_gets_it() {
        let two = NonZeroUsize::new(2).unwrap();
        let ours = listen(FREE.parse().unwrap(), two).unwrap();
        let address = ours[0].local_addr().unwrap();
        assert_eq!(ours[1].local_addr().unwrap(), address);
        let error = listen(address, two).unwrap_err().to_string();
        assert!(error.contains("another program has port"), "{error}");
        drop(ours);
        listen(address, two).unwrap();
    }

    #[test]
    fn an_address_of_another_machine_is_named() {
        let error = listen("192.0.2.1:0".parse().unwrap(), NonZeroUsize::MIN).unwrap_err().to_string();
        assert!(error.contains("does not have that address"), "{error}");
    }
}
