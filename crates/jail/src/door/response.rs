//! The origin's answer on its way to the guest: the head is read and rewritten,
//! interim answers (1xx) included, and the body is followed to its end.

use super::body::{Body, Framing};
use super::head::{Head, HeadError, Version, find_end};
use super::relay::{Fault, Filter};

#[derive(Debug)]
pub(super) struct Response {
    answers_head: bool,
    guest_keeps: bool,
    head_bytes: usize,
    state: State,
    leaves_origin_open: bool,
    leaves_guest_open: bool,
}

#[derive(Debug)]
enum State {
    Head { seen: Vec<u8> },
    Body(Body),
}

impl Response {
    /// `answers_head` says that the request was HEAD, `guest_keeps` that the guest
    /// wants its connection afterwards; a head may have `head_bytes` bytes.
    pub(super) fn new(answers_head: bool, guest_keeps: bool, head_bytes: usize) -> Self {
        Self {
            answers_head,
            guest_keeps,
            head_bytes,
            state: State::Head { seen: Vec::new() },
            leaves_origin_open: false,
            leaves_guest_open: false,
        }
    }

    /// Whether the origin can be asked again on its connection.
    pub(super) fn leaves_origin_open(&self) -> bool {
        self.leaves_origin_open && self.is_over()
    }

    /// Whether the guest can ask again on its connection.
    pub(super) fn leaves_guest_open(&self) -> bool {
        self.leaves_guest_open && self.is_over()
    }

    /// Rewrites one head; true if it is the final one.
    fn rewrite(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<bool, HeadError> {
        let head = Head::parse(bytes)?;
        let (version, status, reason) = split_status(head.start)?;
        if status == 101 {
            // Never asked for: Upgrade is not passed on.
            return Err(HeadError::StartLine);
        }
        let said = head.framing(version)?;
        let is_final = status >= 200;
        let has_body = is_final && !self.answers_head && status != 204 && status != 304;
        out.extend_from_slice(format!("HTTP/1.1 {status} ").as_bytes());
        out.extend_from_slice(reason);
        out.extend_from_slice(b"\r\n");
        head.write_fields(said.filter(|_| is_final && status != 204), out);
        if is_final {
            let framing = has_body.then(|| said.unwrap_or(Framing::UntilClose));
            self.leaves_guest_open = self.guest_keeps && framing != Some(Framing::UntilClose);
            self.leaves_origin_open = version == Version::Http11
                && framing != Some(Framing::UntilClose)
                && !head.lists("connection", "close");
            if !self.leaves_guest_open {
                out.extend_from_slice(b"Connection: close\r\n");
            }
            self.state = State::Body(Body::new(framing));
        }
        out.extend_from_slice(b"\r\n");
        Ok(is_final)
    }
}

impl Filter for Response {
    fn pass(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Fault> {
        let mut used = 0;
        while let State::Head { seen } = &mut self.state {
            if used == input.len() {
                return Ok(used);
            }
            let before = seen.len();
            seen.extend_from_slice(&input[used..]);
            let Some(end) = find_end(seen, before).map_err(Fault::BadAnswer)? else {
                if seen.len() > self.head_bytes {
                    return Err(Fault::LongAnswerHead);
                }
                return Ok(input.len());
            };
            used += end - before;
            let head = std::mem::take(seen);
            self.rewrite(&head[..end], out).map_err(Fault::BadAnswer)?;
        }
        if let State::Body(body) = &mut self.state {
            let count = body.take(&input[used..]).map_err(|_| Fault::BadAnswerBody)?;
            out.extend_from_slice(&input[used..used + count]);
            used += count;
        }
        Ok(used)
    }

    fn is_over(&self) -> bool {
        matches!(&self.state, State::Body(body) if body.is_over())
    }

    fn source_ended(&mut self) -> Result<(), Fault> {
        match &mut self.state {
            State::Head { .. } => Err(Fault::SinkOrSourceGone),
            State::Body(body) => body.source_ended().map_err(|_| Fault::SinkOrSourceGone),
        }
    }
}

fn split_status(line: &[u8]) -> Result<(Version, u16, &[u8]), HeadError> {
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let version = Version::parse(words.next().unwrap_or_default())?;
    let status = words.next().unwrap_or_default();
    let digits = status.len() == 3 && status.iter().all(u8::is_ascii_digit);
    let status = str::from_utf8(status).ok().and_then(|text| text.parse().ok());
    match status.filter(|status| digits && *status >= 100) {
        Some(status) => Ok((version, status, words.next().unwrap_or_default())),
        None => Err(HeadError::StartLine),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pass(bytes: &[u8]) -> Result<(usize, String, Response), Fault> {
        let mut response = Response::new(false, true, 32 * 1024);
        let mut out = Vec::new();
        let used = response.pass(bytes, &mut out)?;
        Ok((used, String::from_utf8_lossy(&out).into_owned(), response))
    }

    #[test]
    fn the_body_is_followed_and_fields_of_the_connection_stay_behind() {
        let (used, out, response) = pass(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\
              Keep-Alive: timeout=5\r\nContent-Length: 2\r\nX: y\r\n\r\nabEXTRA",
        )
        .unwrap();
        assert_eq!(
            out,
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 2\r\n\r\nab"
        );
        assert_eq!(used, 123);
        assert!(response.leaves_origin_open() && response.leaves_guest_open());
    }

    #[test]
    fn a_body_that_ends_with_the_connection_says_so_to_the_guest() {
        let (_, out, mut response) = pass(b"HTTP/1.0 200 OK\r\n\r\nab").unwrap();
        assert_eq!(out, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nab");
        assert!(!response.is_over());
        response.source_ended().unwrap();
        assert!(response.is_over() && !response.leaves_guest_open());
    }

    #[test]
    fn bad_answers_are_refused() {
        for bytes in [
            &b"HTTP/1.1 101 Switching\r\n\r\n"[..],
            b"HTTP/1.1 20 OK\r\n\r\n",
            b"ICY 200 OK\r\n\r\n",
            b"HTTP/2 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\n\n",
            b"\r\n\r\n",
            b"HTTP/1.1 099 x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(pass(bytes).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = pass(&bytes);
            let _ = pass(&[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &bytes[..]].concat());
        }

        #[test]
        fn pieces_make_the_same_answer(cut in 0usize..150) {
            let whole = b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
            let cut = cut.min(whole.len());
            let mut response = Response::new(false, true, 32 * 1024);
            let mut out = Vec::new();
            let first = response.pass(&whole[..cut], &mut out).unwrap();
            prop_assert_eq!(first, cut);
            response.pass(&whole[cut..], &mut out).unwrap();
            prop_assert!(response.is_over());
            prop_assert_eq!(out, whole.to_vec());
        }
    }
}
