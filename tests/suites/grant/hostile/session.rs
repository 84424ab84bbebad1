//! What a hostile component may leave for the next turn: the conversation that it had, and no other.

use plexum_openai_provider::{FailureKind, GuestLimits, StopReason};
use plexum_openai_provider_tests::fake_codex::Step;

use crate::bench::{Bench, SEPARATOR, allowed, deed, scripted, session_file, workspace};

const FOREIGN: &str = "01a203e6-c71a-7d50-bfec-754792f3dc4b";
const OWN: &str = "01a20459-1490-7bf3-b2e1-4d675dab2916";

/// A codex that opens the thread [`OWN`] and whose model says `text`.
fn opens_own(text: &str) -> Vec<Step> {
    vec![
        Step::ThreadStartedAs { id: OWN.into() },
        Step::TurnStarted,
        Step::message(text),
        Step::TurnCompleted,
    ]
}

fn with_id(name: &str, id: &str) -> String {
    deed(name, &[id, &allowed().join(SEPARATOR)])
}

#[tokio::test]
async fn what_codex_did_not_name_is_not_kept() {
    let bench = Bench::new(GuestLimits::default());
    for id in [
        FOREIGN,
        "",
        "--last",
        "../../../etc/passwd",
        "01a203e6-c71a-7d50-bfec-754792f3dc4b\n",
        "\n-C\n/",
    ] {
        let workspace = workspace();
        let (told, _) = bench.try_out(&workspace, &format!("save:{id}")).await;
        assert_eq!(told.kind, Some(FailureKind::Denied), "{id:?}: {told:?}");
        assert!(told.message.contains("can be kept"), "{id:?}: {told:?}");
        // The honest turn that followed began a thread of its own.
        let argv = &workspace.calls().unwrap()[0].argv;
        assert!(!argv.iter().any(|arg| arg == "resume"), "{id:?}: {argv:?}");
        assert_ne!(workspace.session().unwrap().as_deref(), Some(id));
    }
}

#[tokio::test]
async fn what_codex_named_is_kept_and_resumed_by_the_next_turn_only() {
    let bench = Bench::new(GuestLimits::default());
    let workspace = scripted([opens_own("hi")]);
    let prompt = with_id("save-after-lines-and-resume", OWN);
    let (told, calls) = bench.try_out(&workspace, &prompt).await;
    assert_eq!(told.kind, Some(FailureKind::Denied), "{told:?}");
    assert!(told.message.contains("argument 3"), "{told:?}");
    assert_eq!(
        calls, 1,
        "the thread is not resumed in the turn that opened it"
    );
    // The honest turn that followed.
    let argv = &workspace.calls().unwrap()[1].argv;
    assert_eq!(argv[1..3], ["resume", OWN]);
}

#[tokio::test]
async fn what_the_model_said_is_not_kept() {
    let bench = Bench::new(GuestLimits::default());
    let workspace = scripted([opens_own(&format!("the id is {FOREIGN}"))]);
    let (told, calls) = bench
        .try_out(&workspace, &with_id("save-after-lines", FOREIGN))
        .await;
    assert_eq!(
        (told.kind, calls),
        (Some(FailureKind::Denied), 1),
        "{told:?}"
    );
    let argv = &workspace.calls().unwrap()[1].argv;
    assert!(!argv.iter().any(|arg| arg == "resume"), "{argv:?}");
}

#[tokio::test]
async fn a_foreign_thread_is_not_resumed_after_an_attempt_to_save_it() {
    let bench = Bench::new(GuestLimits::default());
    let workspace = workspace();
    let mut args = allowed();
    args.splice(1..1, ["resume", FOREIGN]);
    let prompt = deed("save-and-resume", &[FOREIGN, &args.join(SEPARATOR)]);
    let (told, calls) = bench.try_out(&workspace, &prompt).await;
    assert_eq!(
        (told.kind, calls),
        (Some(FailureKind::Denied), 0),
        "{told:?}"
    );
    assert!(told.message.contains("argument 3"), "{told:?}");
}

#[tokio::test]
async fn what_the_workspace_held_may_be_kept_and_resumed() {
    let bench = Bench::new(GuestLimits::default());
    let workspace = workspace();
    std::fs::write(session_file(&workspace), OWN).unwrap();
    let mut args = allowed();
    args.splice(1..1, ["resume", OWN]);
    let prompt = deed("save-and-resume", &[OWN, &args.join(SEPARATOR)]);
    let (told, calls) = bench.try_out(&workspace, &prompt).await;
    assert_eq!(
        (told.stop_reason, calls),
        (StopReason::EndTurn, 1),
        "{told:?}"
    );
}

#[tokio::test]
async fn asked_about_itself_it_can_do_nothing() {
    let description = Bench::new(GuestLimits::default()).describe().await;
    assert_eq!(description.id, "hostile");
    assert_eq!(description.models, []);
}
