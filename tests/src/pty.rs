//! A terminal that a test looks at and types into.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    num::NonZeroU16,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    process::{Child, Command, ExitStatus},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// A pseudo-terminal with a program in it, which is killed when this is dropped.
pub struct Terminal {
    child: Child,
    master: File,
    /// Kept open: the settings of the terminal are those of this end.
    slave: OwnedFd,
    screen: Arc<Mutex<vt100::Parser>>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Starts a program in a terminal of this size.
    ///
    /// # Errors
    ///
    /// When there is no terminal to be had, or no such program.
    pub fn start(command: &mut Command, columns: u16, rows: u16) -> Result<Self> {
        let (mut master, mut slave) = (-1, -1);
        let size = winsize(columns, rows);
        // SAFETY: both descriptors and the size live across the call; name and settings may be null.
        let opened = unsafe {
            libc::openpty(
                &raw mut master,
                &raw mut slave,
                std::ptr::null_mut(),
                std::ptr::null(),
                &raw const size,
            )
        };
        if opened != 0 {
            return Err(io::Error::last_os_error()).context("cannot open a pseudo-terminal");
        }
        // SAFETY: the call has just opened them for us.
        let (master, slave) = unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
        close_on_exec(&master)?;
        close_on_exec(&slave)?;
        let child = command
            .stdin(slave.try_clone()?)
            .stdout(slave.try_clone()?)
            .stderr(slave.try_clone()?)
            .env("TERM", "xterm-256color")
            .env("LANG", "C.UTF-8")
            .spawn()
            .context("cannot start a program in a terminal")?;
        // The descriptors that it was given are closed here when the next command takes their place.
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        command.stderr(std::process::Stdio::null());
        let screen = Arc::new(Mutex::new(vt100::Parser::new(cells(rows), cells(columns), 0)));
        let (mut from, shown) = (master.try_clone()?, Arc::clone(&screen));
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                lock(&shown).process(&buffer[..read]);
            }
        });
        Ok(Self { child, master, slave, screen, reader: Some(reader) })
    }

    /// Types, as a keyboard does: `\r` is Enter.
    ///
    /// # Errors
    ///
    /// When the terminal has gone.
    pub fn press(&self, keys: &str) -> io::Result<()> {
        (&self.master).write_all(keys.as_bytes())
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        lock(&self.screen).screen().contents()
    }

    /// Whether the screen is the one that full-screen programs have, whose end brings back what was there before.
    pub fn is_full_screen(&self) -> bool {
        lock(&self.screen).screen().alternate_screen()
    }

    /// Whether what is typed is shown and taken a line at a time, as a shell wants it.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn is_cooked(&self) -> io::Result<bool> {
        // SAFETY: all zeroes are settings, and the call fills them in.
        let mut settings: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open, and the settings live across the call.
        if unsafe { libc::tcgetattr(self.slave.as_raw_fd(), &raw mut settings) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let cooked = libc::ECHO | libc::ICANON | libc::ISIG;
        Ok(settings.c_lflag & cooked == cooked)
    }

    /// Gives the terminal another size.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        let size = winsize(columns, rows);
        // SAFETY: the descriptor is open, and the size lives across the call.
        if unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) } != 0 {
            return Err(io::Error::last_os_error());
        }
        lock(&self.screen).screen_mut().set_size(cells(rows), cells(columns));
        Ok(())
    }

    /// Waits until this is on the screen.
    ///
    /// # Errors
    ///
    /// With what is there instead, after that time or when the program has ended.
    pub fn wait_for(&mut self, part: &str, at_most: Duration) -> Result<()> {
        let deadline = Instant::now() + at_most;
        while !self.text().contains(part) {
            if let Some(status) = self.child.try_wait()? {
                bail!("it has ended ({status}) without {part:?}:\n{}", self.text());
            }
            if Instant::now() > deadline {
                bail!("no {part:?} after {at_most:?} in\n{}", self.text());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Sends the program a signal, and waits for its end.
    ///
    /// # Errors
    ///
    /// When it does not end in time.
    pub fn end(&mut self, signal: i32) -> Result<ExitStatus> {
        // SAFETY: kill takes any numbers; the child has not been waited for, so its id is its own.
        unsafe { libc::kill(self.child.id().cast_signed(), signal) };
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = self.child.try_wait()? {
                // What it wrote last is in the terminal still.
                thread::sleep(Duration::from_millis(200));
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("it still runs:\n{}", self.text());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Both fail only when it has ended and been waited for.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
        // The reader's end is that of the last slave.
        if let Ok(null) = File::open("/dev/null") {
            self.slave = null.into();
        }
        if let Some(reader) = self.reader.take() {
            let _panicked = reader.join();
        }
    }
}

fn cells(cells: u16) -> NonZeroU16 {
    NonZeroU16::new(cells).unwrap_or(NonZeroU16::MIN)
}

const fn winsize(columns: u16, rows: u16) -> libc::winsize {
    libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn close_on_exec(file: &impl std::os::fd::AsRawFd) -> io::Result<()> {
    // SAFETY: the descriptor is open.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn lock(screen: &Mutex<vt100::Parser>) -> MutexGuard<'_, vt100::Parser> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}
