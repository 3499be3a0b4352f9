//! Files of the user: read with a limit, in any encoding that editors and shells write; and created so that only
//! the user can read them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom as _, SystemRandom};

/// The largest file read as a whole: a kubeconfig, a manifest, a scenario, a key or a certificate, in bytes.
pub const LARGEST_FILE: u64 = 16 << 20;

/// The longest line of a recording, in bytes: an object of Kubernetes has at most 3 MB, EMQX's answer 16 MB.
pub const LONGEST_LINE: u64 = 32 << 20;

/// Reads a whole file, a pipe or `/dev/fd/N`, of at most [`LARGEST_FILE`] bytes.
#[expect(clippy::disallowed_methods, reason = "this is where files are read")]
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_from(File::open(path)?)
}

/// Reads all of a stream of at most [`LARGEST_FILE`] bytes.
pub fn read_from(stream: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(io::Error::other(format!("it is larger than {} MB", LARGEST_FILE >> 20)));
    }
    Ok(bytes)
}

/// Reads a whole file as text.
pub fn read_text(path: &Path) -> io::Result<String> {
    text(&read(path)?)
}

/// Reads all of a stream as text.
pub fn read_text_from(stream: impl Read) -> io::Result<String> {
    text(&read_from(stream)?)
}

/// Text in UTF-8 with or without a byte-order mark, or in UTF-16 with one, as PowerShell writes it. The mark is dropped.
pub fn text(bytes: &[u8]) -> io::Result<String> {
    let not_text = |why| io::Error::new(io::ErrorKind::InvalidData, format!("it is not text: {why}"));
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16(&units)
            .ok()
            .filter(|_| bytes.len().is_multiple_of(2))
            .ok_or_else(|| not_text("not valid UTF-16"))
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => std::str::from_utf8(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes))
            .map(str::to_owned)
            .map_err(|_| not_text("not valid UTF-8")),
    }
}

/// Opens a file, a pipe or `/dev/fd/N` to be read from its beginning; `-` is stdin.
#[expect(clippy::disallowed_methods, reason = "this is where files are read")]
pub fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin()));
    }
    Ok(Box::new(File::open(path)?))
}

/// Whether a file can be opened again with the same content: a pipe or a terminal cannot.
pub fn is_regular(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|it| it.is_file())
}

/// Copies a stream into a new file that only its owner can read, in a new folder; returns the folder and the
/// file.
pub fn spooled(mut stream: impl Read) -> io::Result<(PathBuf, PathBuf)> {
    let folder = private_folder("kubectl-emqx-")?;
    let path = folder.join("stream");
    create_private(&path).and_then(|mut file| io::copy(&mut stream, &mut file))?;
    Ok((folder, path))
}

/// How a text is encoded, by its byte-order mark.
#[derive(Clone, Copy)]
enum Encoding {
    Utf8,
    Utf16(fn([u8; 2]) -> u16),
}

/// A stream of text as UTF-8 without a byte-order mark, from any of the encodings of [`text`].
pub struct Utf8Stream<R> {
    inner: R,
    encoding: Option<Encoding>,
    /// Bytes of the source that are not decoded yet: at most half a character.
    pending: Vec<u8>,
    /// Bytes that were decoded and not read yet, and how many of them were read.
    ready: Vec<u8>,
    taken: usize,
}

impl<R: Read> Utf8Stream<R> {
    /// Over a stream at its beginning.
    pub fn new(inner: R) -> Self {
        Self { inner, encoding: None, pending: Vec::new(), ready: Vec::new(), taken: 0 }
    }

    /// Reads the byte-order mark; other bytes stay in the stream.
    fn detect(&mut self) -> io::Result<Encoding> {
        let mut first = Vec::new();
        (&mut self.inner).take(3).read_to_end(&mut first)?;
        let (encoding, length) = match first.as_slice() {
            [0xFF, 0xFE, ..] => (Encoding::Utf16(u16::from_le_bytes), 2),
            [0xFE, 0xFF, ..] => (Encoding::Utf16(u16::from_be_bytes), 2),
            [0xEF, 0xBB, 0xBF] => (Encoding::Utf8, 3),
            _ => (Encoding::Utf8, 0),
        };
        first.drain(..length);
        match encoding {
            Encoding::Utf8 => self.ready = first,
            Encoding::Utf16(_) => self.pending = first,
        }
        Ok(encoding)
    }

    /// Decodes the next piece of UTF-16; `false` at the end.
    fn decode(&mut self, unit: fn([u8; 2]) -> u16) -> io::Result<bool> {
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, "it is not text: not valid UTF-16");
        let mut piece = [0; 8192];
        let length = self.inner.read(&mut piece)?;
        self.pending.extend_from_slice(&piece[..length]);
        let mut units: Vec<u16> = self.pending.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        // The second half of a surrogate pair is in the next piece.
        let open = units.last().is_some_and(|last| (0xD800..0xDC00).contains(last));
        if open && length > 0 {
            units.pop();
        }
        self.pending.drain(..units.len() * 2);
        if length == 0 && !self.pending.is_empty() {
            return Err(invalid());
        }
        self.ready = String::from_utf16(&units).map_err(|_| invalid())?.into_bytes();
        self.taken = 0;
        Ok(length > 0)
    }
}

impl<R: Read> Read for Utf8Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let encoding = if let Some(encoding) = self.encoding {
            encoding
        } else {
            let found = self.detect()?;
            *self.encoding.insert(found)
        };
        loop {
            let rest = self.ready.get(self.taken..).unwrap_or_default();
            if !rest.is_empty() || buffer.is_empty() {
                let length = rest.len().min(buffer.len());
                buffer[..length].copy_from_slice(&rest[..length]);
                self.taken += length;
                return Ok(length);
            }
            match encoding {
                Encoding::Utf8 => return self.inner.read(buffer),
                Encoding::Utf16(unit) => {
                    if !self.decode(unit)? && self.ready.is_empty() {
                        return Ok(0);
                    }
                }
            }
        }
    }
}

/// Creates a file that only its owner can read and write; an existing file is an error of the kind
/// `AlreadyExists`.
pub fn create_private(path: &Path) -> io::Result<File> {
    private().create_new(true).open(path)
}

/// Writes a file that only its owner can read and write. An existing file is an error of the kind
/// `AlreadyExists`, unless `force` is set; then the file is replaced, including its mode.
pub fn write_private(path: &Path, contents: &[u8], force: bool) -> io::Result<()> {
    open_private(path, force)?.write_all(contents)
}

/// Opens a file for writing as [`write_private`] does.
pub fn open_private(path: &Path, force: bool) -> io::Result<File> {
    match create_private(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && force => {
            let file = private().truncate(true).open(path)?;
            // The mode of a terminal, a pipe or `/dev/null` is not changed.
            #[cfg(unix)]
            if file.metadata()?.is_file() {
                use std::os::unix::fs::PermissionsExt as _;
                file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
            }
            Ok(file)
        }
        other => other,
    }
}

/// Whether a file is empty or begins with these bytes.
pub fn begins_with(path: &Path, bytes: &[u8]) -> bool {
    let mut first = Vec::new();
    let length = bytes.len() as u64;
    let opened = OpenOptions::new().read(true).open(path);
    opened
        .and_then(|file| file.take(length).read_to_end(&mut first))
        .is_ok_and(|_| first.is_empty() || first == bytes)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options
}

/// Creates a new folder in the system's folder for temporary files; only its owner can enter it, and its name
/// cannot be guessed.
pub fn private_folder(prefix: &str) -> io::Result<PathBuf> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    let mut last = io::Error::other("no free name");
    for _ in 0..16 {
        let folder = std::env::temp_dir().join(format!("{prefix}{}", random_word()?));
        // `create` is atomic and refuses any existing path, including a link.
        match builder.create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// A word of 128 random bits that cannot be guessed: 32 hexadecimal digits.
pub fn random_word() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| io::Error::other("the system gives no random numbers"))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// Whether users other than the owner may read a regular file; `false` where the system has no such modes.
pub fn others_may_read(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o044 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

#[cfg(test)]
mod tests {
    #[expect(clippy::disallowed_methods, reason = "what was written is read as any other program would")]
    fn bytes(file: &Path) -> Vec<u8> {
        std::fs::read(file).expect("read")
    }

    use super::*;

    /// The same words in every encoding that is read.
    fn encoded(words: &str) -> [Vec<u8>; 4] {
        let utf16 = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
            "\u{feff}".encode_utf16().chain(words.encode_utf16()).flat_map(unit).collect()
        };
        [
            words.as_bytes().to_vec(),
            format!("\u{feff}{words}").into_bytes(),
            utf16(u16::to_le_bytes),
            utf16(u16::to_be_bytes),
        ]
    }

    #[test]
    fn text_is_read_in_every_encoding_that_editors_write() {
        let words = "größe: 1\n";
        for bytes in encoded(words) {
            assert_eq!(text(&bytes).expect("text"), words);
        }
        for bytes in [&b"\xff\xfea"[..], b"\xff\xfe\x00\xd8", b"\xe4"] {
            assert!(text(bytes).is_err(), "{bytes:?}");
        }
        assert_eq!(text(b"").expect("empty"), "");
    }

    /// Returns one byte at a time: every character is split.
    struct Slowly<'a>(&'a [u8]);
    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.0.len().min(buffer.len()).min(1);
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    #[test]
    fn a_stream_is_decoded_as_a_whole_file_is() {
        let words = "größe: 1 \u{1f980}\n".repeat(3000);
        for bytes in encoded(&words) {
            let (mut whole, mut slow) = (String::new(), String::new());
            Utf8Stream::new(&bytes[..]).read_to_string(&mut whole).expect("text");
            Utf8Stream::new(Slowly(&bytes)).read_to_string(&mut slow).expect("text");
            assert!(whole == words && slow == words);
        }
        for bytes in [&b"\xff\xfea"[..], b"\xff\xfe\x00\xd8"] {
            assert!(Utf8Stream::new(bytes).read_to_end(&mut Vec::new()).is_err(), "{bytes:?}");
        }
        assert_eq!(Utf8Stream::new(&b"a"[..]).read_to_end(&mut Vec::new()).expect("short"), 1);
    }

    #[test]
    fn a_file_over_the_limit_is_an_error_that_names_the_limit() {
        let error = read_from(io::repeat(b'a')).expect_err("endless");
        assert_eq!(error.to_string(), "it is larger than 16 MB");
    }

    #[cfg(unix)]
    #[test]
    fn private_files_and_folders_can_be_read_by_their_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| std::fs::metadata(path).expect("it exists").permissions().mode() & 0o777;
        let folder = private_folder("kubectl-emqx-test-").expect("a folder");
        assert_eq!(mode(&folder), 0o700);
        let file = folder.join("file");
        write_private(&file, b"one", false).expect("written");
        assert_eq!(mode(&file), 0o600);
        assert!(!others_may_read(&file));
        let kind = write_private(&file, b"two", false).expect_err("it exists").kind();
        assert_eq!(kind, io::ErrorKind::AlreadyExists);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("changed");
        assert!(others_may_read(&file));
        write_private(&file, b"2", true).expect("replaced");
        assert_eq!((bytes(&file), mode(&file)), (b"2".to_vec(), 0o600));
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
