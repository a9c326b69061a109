//! What changes about interfaces and default routes, as the kernel tells it.

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::{Message, ROOM, parse::messages};

/// `RTNLGRP_LINK`, `RTNLGRP_IPV4_ROUTE`, `RTNLGRP_IPV6_ROUTE` (include/uapi/linux/rtnetlink.h).
const LINKS: u32 = 1;
const ROUTES: [u32; 2] = [7, 11];
/// Bytes that wait to be read, at most: some hundred interfaces that change at once.
const BACKLOG: usize = 1 << 20;

/// What there is to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// One message.
    Message(Message),
    /// Some were lost, or could not be read: look at everything again.
    Lost,
    /// Nothing at the moment.
    Nothing,
}

/// A socket that hears of every change from when it was made on.
pub struct Watch {
    socket: Socket,
    room: Vec<u8>,
    waiting: std::collections::VecDeque<News>,
    routes: bool,
}

impl Watch {
    /// Begins to listen, in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// Whatever the netlink socket says.
    pub fn begin() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        socket.set_non_blocking(true)?;
        // As much as is allowed: what is lost is looked for.
        let _ = socket.set_rx_buf_sz(BACKLOG as i32);
        socket.add_membership(LINKS)?;
        Ok(Self { socket, room: Vec::with_capacity(ROOM), waiting: Default::default(), routes: false })
    }

    /// Hears of routes too, or no longer. A router may change thousands of them a second.
    ///
    /// # Errors
    ///
    /// Whatever the netlink socket says.
    pub fn follow_routes(&mut self, follow: bool) -> io::Result<()> {
        if self.routes != follow {
            for group in ROUTES {
                if follow {
                    self.socket.add_membership(group)?;
                } else {
                    self.socket.drop_membership(group)?;
                }
            }
            self.routes = follow;
        }
        Ok(())
    }

    /// The next of what has come. Does not wait.
    ///
    /// # Errors
    ///
    /// Whatever the netlink socket says, but for what [`News::Lost`] stands for.
    pub fn next_news(&mut self) -> io::Result<News> {
        if let Some(news) = self.waiting.pop_front() {
            return Ok(news);
        }
        self.room.clear();
        match self.socket.recv_from(&mut self.room, libc::MSG_TRUNC) {
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(News::Lost),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(News::Nothing),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(News::Nothing),
            Err(error) => return Err(error),
            // Not the kernel's: anybody may send to a netlink socket.
            Ok((_, from)) if from.port_number() != 0 => return Ok(News::Nothing),
            Ok((length, _)) if length > self.room.len() => return Ok(News::Lost),
            Ok(_) => {}
        }
        for message in messages(&self.room) {
            self.waiting.push_back(match message {
                Ok(Message::Overrun) | Err(_) => News::Lost,
                Ok(message) => News::Message(message),
            });
        }
        Ok(self.waiting.pop_front().unwrap_or(News::Lost))
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the socket is open as long as `self`, which the result borrows.
        unsafe { BorrowedFd::borrow_raw(self.socket.as_raw_fd()) }
    }
}
