//! Going to the background, as keepalived does without `--dont-fork`.

use std::io;

/// Leave the terminal: the caller goes on in a child process whose directory is `/`; the parent exits with 0 (daemon(3)).
/// Its standard streams are `/dev/null`, unless `keep_streams`.
///
/// It must be called before any thread is started: a child has none but the calling one.
///
/// # Errors
/// What the kernel says; then nothing has changed.
pub fn detach(keep_streams: bool) -> io::Result<()> {
    nix::unistd::daemon(false, keep_streams).map_err(Into::into)
}
