//! What each subject is to refuse is tried before anything is measured: a judge that is not in the way costs nothing, and one that refuses everything
//! answers quickly.

use std::net::SocketAddr;

use anyhow::{Result, ensure};

use crate::{
    load::status,
    requests::{attacks, get, with_token},
    tokens::Tokens,
};

/// What a subject refuses. What it does not refuse it passes on.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Refuses {
    /// Attacks in the head.
    pub(crate) heads: bool,
    /// Attacks in the body.
    pub(crate) bodies: bool,
    /// Requests without a token, and those with a forged one.
    pub(crate) tokens: bool,
}

impl Refuses {
    pub(crate) const NOTHING: Self = Self { heads: false, bodies: false, tokens: false };
    pub(crate) const HEADS: Self = Self { heads: true, ..Self::NOTHING };
    pub(crate) const TOKENS: Self = Self { tokens: true, ..Self::NOTHING };
    pub(crate) const ATTACKS: Self = Self { heads: true, bodies: true, tokens: false };
    pub(crate) const ALL: Self = Self { tokens: true, ..Self::ATTACKS };
}

/// An error unless the server refuses just that.
pub(crate) fn tried(name: &str, server: SocketAddr, refuses: Refuses, tokens: Option<&Tokens>) -> Result<()> {
    let answers = |what: &str, request: Vec<u8>, expected: u16| {
        let found = status(server, &request)?;
        ensure!(
            found == expected,
            "{name} answers {found} to {what}, not {expected}: what it does would not be what is measured"
        );
        Ok(())
    };
    let good = |request: Vec<u8>| match tokens {
        Some(tokens) => with_token(&request, &tokens.good[0]),
        None => request,
    };
    let [query, body] = attacks();
    let refused = |refused: bool, status: u16| if refused { status } else { 200 };
    answers("an everyday request", good(get()), 200)?;
    answers("an attack in the query", good(query), refused(refuses.heads, 403))?;
    answers("an attack in the body", good(body), refused(refuses.bodies, 403))?;
    if let Some(tokens) = tokens {
        answers("a request without a token", get(), refused(refuses.tokens, 401))?;
        answers(
            "a request with a forged token",
            with_token(&get(), &tokens.forged),
            refused(refuses.tokens, 401),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
        thread,
    };

    use super::*;

    /// A server that refuses what has any of these texts, with this status.
    fn server(refused: &'static [&'static str], status: u16) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut request = [0; 4096];
                let length = stream.read(&mut request).unwrap();
                let text = String::from_utf8_lossy(&request[..length]).into_owned();
                let status = if refused.iter().any(|part| text.contains(part)) { status } else { 200 };
                write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n").unwrap();
            }
        });
        address
    }

    #[test]
    fn who_does_not_refuse_what_it_should_is_not_measured() {
        let open = server(&[], 200);
        tried("open", open, Refuses::NOTHING, None).unwrap();
        for refuses in [Refuses::HEADS, Refuses::ATTACKS] {
            let said = tried("open", open, refuses, None).unwrap_err().to_string();
            assert!(said.contains("open answers 200 to an attack in the query, not 403"), "{said}");
        }
        let tokens = Tokens::new().unwrap();
        let said = tried("open", open, Refuses::TOKENS, Some(&tokens)).unwrap_err().to_string();
        assert!(said.contains("200 to a request without a token, not 401"), "{said}");
    }

    #[test]
    fn who_refuses_everything_or_more_than_it_should_is_not_measured() {
        let shut = server(&["HTTP/1.1"], 403);
        let said = tried("shut", shut, Refuses::ALL, None).unwrap_err().to_string();
        assert!(said.contains("403 to an everyday request"), "{said}");
        let judge = server(&["1%27%20OR", "1' OR"], 403);
        tried("judge", judge, Refuses::ATTACKS, None).unwrap();
        tried("judge", judge, Refuses::NOTHING, None).unwrap_err();
        let said = tried("judge", judge, Refuses::HEADS, None).unwrap_err().to_string();
        assert!(said.contains("403 to an attack in the body"), "{said}");
    }
}
