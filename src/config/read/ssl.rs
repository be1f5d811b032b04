//! `SSL`: the files of `SSL_GET`.

use crate::config::model::TlsFiles;
use crate::config::tree::Statement;

pub fn read(block: &Statement<'_>) -> TlsFiles {
    let mut files = TlsFiles::default();
    for inner in block.statements() {
        let word = inner.arg(0).map(|arg| arg.text.to_owned());
        match inner.keyword.text {
            "ca" => files.ca = word,
            "certificate" => files.certificate = word,
            "key" => files.key = word,
            "password" => files.password = word,
            _ => {}
        }
    }
    files
}
