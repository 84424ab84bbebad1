//! A conversation that is had over both transports.

use std::collections::BTreeSet;

use plexum_openai_provider::config::Transport;
use plexum_openai_provider::{Config, Event, Limits, Provider, Request};
use plexum_openai_provider_tests::agent::Agent;
use plexum_openai_provider_tests::mock_model::Scenario;
use plexum_openai_provider_tests::real_codex::RealCodex;

/// Few retries, so that failures come soon. More than one of each kind, so that codex's counting is seen.
const RETRIES: [&str; 4] = [
    "-c",
    "model_providers.mock.request_max_retries=1",
    "-c",
    "model_providers.mock.stream_max_retries=2",
];

/// The clock that ends the turns in which the model says nothing.
const SILENCE_SECONDS: u32 = 3;

/// A conversation.
#[derive(Clone, Debug)]
pub struct Case {
    /// What the table of known differences calls it.
    pub name: String,
    /// What is said in its turns.
    pub prompts: Vec<String>,
    /// Whether the model says nothing.
    is_silent: bool,
    /// Whether codex is given an MCP server.
    with_mcp_server: bool,
    /// Whether each turn has a provider of its own, so that no codex stays for the next one.
    pub starts_anew: bool,
    /// The models that its turns ask for, in that order; none if they ask for no model.
    models: &'static [&'static str],
}

impl Case {
    /// A turn with this scenario.
    pub fn scenario(scenario: Scenario) -> Self {
        Case {
            name: scenario.name().to_owned(),
            prompts: vec![prompt(scenario)],
            is_silent: matches!(
                scenario,
                Scenario::Hang | Scenario::HangHeaders | Scenario::HangTool
            ),
            with_mcp_server: scenario == Scenario::Mcp,
            starts_anew: false,
            models: &[],
        }
    }

    /// Turns with these prompts.
    pub fn turns(name: &str, prompts: &[&str]) -> Self {
        Case {
            name: name.to_owned(),
            prompts: prompts.iter().map(|prompt| (*prompt).to_owned()).collect(),
            is_silent: false,
            with_mcp_server: false,
            starts_anew: false,
            models: &[],
        }
    }

    /// The same, with a model for each turn.
    pub fn with_models(mut self, models: &'static [&'static str]) -> Self {
        assert_eq!(models.len(), self.prompts.len());
        self.models = models;
        self
    }

    /// The same, with a new provider for each turn.
    pub fn in_a_new_process(mut self) -> Self {
        self.starts_anew = true;
        self
    }
}

/// The prompt that plays a scenario.
fn prompt(scenario: Scenario) -> String {
    let argument = match scenario.argument() {
        "" => return format!("mock:{}", scenario.name()),
        "<answer>" => "an answer",
        "<in>,<cached>,<out>,<reasoning>" => "1000,100,50,5",
        "<n>" | "<n>[,<ms>]" => "2",
        "<bytes>" => "100000",
        "<command>" => "echo said",
        "<command>||<command>" => "echo said||echo said",
        "<path>" => "made.txt",
        "<server>/<tool> <json>" => r#"lab/add {"a":1,"b":2}"#,
        "<query>" => "weather in Seattle",
        "<n>,<status>" => "3,500",
        shape => panic!(
            "mock:{} takes {shape}, for which this suite has no argument",
            scenario.name()
        ),
    };
    format!("mock:{}={argument}", scenario.name())
}

/// An agent whose turns go over a transport.
pub struct Talk {
    /// The agent.
    pub agent: Agent,
    config: Config,
    /// What runs its turns.
    pub provider: Provider,
}

impl Talk {
    /// One in which nothing has been said.
    pub fn new(codex: &RealCodex, transport: Transport, case: &Case) -> Self {
        let agent = Agent::new(codex).unwrap();
        if case.with_mcp_server {
            let server = env!("CARGO_BIN_EXE_mcp-server");
            let toml = format!("[mcp_servers.lab]\ncommand = {server:?}");
            agent.home.append_config(&toml).unwrap();
        }
        let mut limits = Limits::default();
        if case.is_silent {
            limits.idle_seconds = SILENCE_SECONDS;
        }
        let mut config = Config {
            binary: Some(agent.program_with_home().unwrap()),
            transport: Some(transport),
            extra_args: RETRIES.map(str::to_owned).to_vec(),
            limits,
            // With it, no turn would go over app-server.
            env: vec!["!CODEX_API_KEY".to_owned()],
            ..Config::default()
        };
        let models: BTreeSet<&str> = case.models.iter().copied().collect();
        let models = models.into_iter().map(Into::into);
        config.supported_models.extend(models);
        let provider = provider(&agent, &config);
        Talk {
            agent,
            config,
            provider,
        }
    }

    /// Goes on over this transport, without what the earlier turns have left running.
    pub fn go_on(&mut self, transport: Transport) {
        self.config.transport = Some(transport);
        self.provider = provider(&self.agent, &self.config);
    }

    /// A whole turn.
    pub async fn turn(&self, prompt: &str) -> Vec<Event> {
        self.turn_for(Request::prompt(prompt)).await
    }

    async fn turn_for(&self, request: Request) -> Vec<Event> {
        let mut turn = self.provider.turn(self.agent.workspace.path(), request);
        let mut events = Vec::new();
        while let Some(event) = turn.next().await {
            events.push(event);
        }
        events
    }
}

fn provider(agent: &Agent, config: &Config) -> Provider {
    let sessions = agent.workspace.sessions();
    Provider::new(config.clone())
        .unwrap()
        .with_session_store(sessions)
}

/// Has the conversation over this transport. Gives each turn's events in canonical form.
pub async fn had(
    codex: &RealCodex,
    transport: Transport,
    case: &Case,
) -> Vec<Vec<serde_json::Value>> {
    let mut talk = Talk::new(codex, transport, case);
    let mut turns = Vec::new();
    for (nth, prompt) in case.prompts.iter().enumerate() {
        if nth > 0 && case.starts_anew {
            talk.go_on(transport);
        }
        let mut request = Request::prompt(prompt);
        request.model = case.models.get(nth).map(|model| (*model).to_owned());
        let events = talk.turn_for(request).await;
        turns.push(crate::canonical::events(&events, &talk.agent));
    }
    turns
}
