//! `SSL`: the files of `SSL_GET`.

use crate::config::model::TlsFiles;
use crate::config::tree::Statement;

pub fn read(block: &Statement<'_>) -> TlsFiles {
    let mut files = TlsFiles::default();
    for inner in block.statements() {
        let path = inner.arg(0).map(|word| word.text.to_owned());
        match inner.keyword.text {
            "ca" => files.ca = path,
            "certificate" => files.certificate = path,
            "key" => files.key = path,
            _ => {}
        }
    }
    files
}
