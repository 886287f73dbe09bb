//! What commands print goes through here: what labels and partners wrote does not steer the terminal
//! of whoever reads it.

use std::io::{self, IsTerminal, StdoutLock, Write};

/// Stands for a byte that a terminal would obey.
const PLAIN: u8 = b'?';

/// The standard output: to a terminal without control characters, to anything else as it is.
pub(super) fn out() -> Plain<StdoutLock<'static>> {
    let stdout = io::stdout().lock();
    let is_terminal = stdout.is_terminal();
    Plain::new(stdout, is_terminal)
}

/// The standard error, alike.
pub(super) fn err() -> Plain<io::Stderr> {
    let stderr = io::stderr();
    let is_terminal = stderr.is_terminal();
    Plain::new(stderr, is_terminal)
}

/// Writes text, for a terminal without control characters other than ends of lines and tabs.
pub(super) struct Plain<W> {
    inner: W,
    is_terminal: bool,
}

impl<W> Plain<W> {
    pub(super) fn new(inner: W, is_terminal: bool) -> Self {
        Self { inner, is_terminal }
    }
}

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_terminal {
            return self.inner.write(bytes);
        }
        let mut plain = bytes.to_vec();
        let mut before = 0;
        for byte in &mut plain {
            // C0 and DEL; and C1, which is two bytes in UTF-8, of which the second is enough.
            let is_control = byte.is_ascii_control() && !matches!(byte, b'\n' | b'\t')
                || before == 0xc2 && (0x80..0xa0).contains(byte);
            before = *byte;
            if is_control {
                *byte = if before < 0x80 { PLAIN } else { 0xb7 };
            }
        }
        self.inner.write_all(&plain)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(is_terminal: bool, text: &str) -> String {
        let mut seen = Vec::new();
        Plain::new(&mut seen, is_terminal)
            .write_all(text.as_bytes())
            .unwrap();
        String::from_utf8(seen).unwrap()
    }

    #[test]
    fn a_title_does_not_steer_the_terminal() {
        let hostile = "Ev\u{1b}]0;il\u{7} \u{1b}[2J\u{9b}31m\u{7f}\r\n\tÉtudes 夜明け";
        assert_eq!(
            written(true, hostile),
            "Ev?]0;il? ?[2J·31m??\n\tÉtudes 夜明け"
        );
        assert_eq!(written(false, hostile), hostile);
    }
}
