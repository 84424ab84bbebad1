//! What is kept of one run.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;
use plexum_openai_provider_tests::transcript::Exit;

/// The files of a transcript.
pub(crate) struct Recording {
    pub(crate) about: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) exit: Exit,
    /// The thread that was resumed.
    pub(crate) session: Option<String>,
    /// What a host that had seen the earlier turns would hold of the thread's totals.
    pub(crate) usage: Option<String>,
}

impl Recording {
    /// Writes the files into `folder`, and leaves alone what is not its own, such as the events
    /// that the transcript translates to.
    pub(crate) fn write_to(&self, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let line = |text: &str| Some(format!("{text}\n"));
        for (name, content) in [
            ("about.txt", line(&self.about)),
            ("stdout.jsonl", Some(self.stdout.clone())),
            ("stderr.txt", Some(self.stderr.clone())),
            ("exit.txt", line(&self.exit.to_string())),
            ("session.txt", self.session.as_deref().and_then(line)),
            ("usage.json", self.usage.as_deref().and_then(line)),
        ] {
            let path = folder.join(name);
            match content {
                Some(content) => fs::write(&path, content),
                None => match fs::remove_file(&path) {
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                    removed => removed,
                },
            }
            .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}
