//! The agent and acpx, a client on the command line that others wrote.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use plexum_openai_provider_tests::agent::Agent as Real;
use plexum_openai_provider_tests::real_codex;
use plexum_openai_provider_tests::side_by_side::side_by_side;
use plexum_openai_provider_tests::tool::{acp_clients, current_test, node};
use plexum_openai_provider_tests::wait::{processes_with, wait_until};
use serde_json::Value;

use super::client::on_real_codex;

/// acpx with this agent.
struct Acpx<'a> {
    node: PathBuf,
    modules: PathBuf,
    real: &'a Real,
}

impl Acpx<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let agent = on_real_codex(self.real);
        let line: Vec<String> = std::iter::once(agent.get_program())
            .chain(agent.get_args())
            .map(|word| format!("\"{}\"", word.to_str().unwrap()))
            .collect();
        let mut command = Command::new(&self.node);
        command
            .arg(self.modules.join("acpx/dist/cli.js"))
            // The process that owns a session is not to stay.
            .args([
                "--agent",
                &line.join(" "),
                "--format",
                "json",
                "--ttl",
                "20",
            ])
            .args(words)
            .current_dir(self.real.workspace.path())
            .envs(
                agent
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(Stdio::null());
        command
    }

    /// What it printed, a message a line.
    fn run(&self, words: &[&str]) -> Vec<Value> {
        let output = self.command(words).output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {stderr}{stdout}");
        let lines = stdout.lines().filter(|line| line.starts_with('{'));
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The text of the answer to a prompt.
    fn text(&self, words: &[&str]) -> String {
        let chunk = |message: &Value| {
            let update = &message["params"]["update"];
            (update["sessionUpdate"] == "agent_message_chunk")
                .then(|| update["content"]["text"].as_str().unwrap().to_owned())
        };
        self.run(words).iter().filter_map(chunk).collect()
    }

    /// The agents that run with this configuration.
    fn agents(&self) -> Vec<i32> {
        let config = self.real.workspace.config();
        let words = config.to_str().unwrap();
        processes_with(words)
    }
}

#[test]
fn it_drives_the_real_codex() {
    let name = current_test();
    let (Some(modules), Some(node)) = (acp_clients(&name), node(&name)) else {
        return;
    };
    side_by_side(real_codex!(), |codex| {
        let real = Real::new(&codex).unwrap();
        let acpx = Acpx {
            node: node.clone(),
            modules: modules.clone(),
            real: &real,
        };
        assert_eq!(acpx.text(&["exec", "one shot"]), "echo: one shot");
        acpx.run(&["sessions", "new"]);
        assert_eq!(
            acpx.text(&["prompt", "my name is Ada"]),
            "echo: my name is Ada"
        );
        // The agent is killed, and another one goes on with the conversation.
        for pid in acpx.agents() {
            // SAFETY: `kill` takes plain numbers and touches no memory.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        assert_eq!(
            acpx.text(&["prompt", "mock:history"]),
            r#"["my name is Ada","mock:history"]"#
        );
        // Two sessions in one folder.
        acpx.run(&["sessions", "new", "--name", "other"]);
        acpx.text(&["prompt", "-s", "other", "I am another"]);
        assert_eq!(
            acpx.text(&["prompt", "-s", "other", "mock:history"]),
            r#"["I am another","mock:history"]"#
        );
        // A cancel in a tool.
        let mut running = acpx
            .command(&[
                "prompt",
                r#"mock:shell=cp "$(command -v sleep)" sleeper; touch began; "$PWD/sleeper" 300"#,
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let began = real.workspace.path().join("began");
        wait_until("the tool runs", || began.exists());
        acpx.run(&["cancel"]);
        running.wait().unwrap();
        let sleeper = real.workspace.path().join("sleeper");
        assert!(processes_with(sleeper.to_str().unwrap()).is_empty());
        for session in [&["sessions", "close"][..], &["sessions", "close", "other"]] {
            acpx.run(session);
        }
        wait_until("no agent is left", || acpx.agents().is_empty());
    });
}
