//! What turns are asked, and what must be in a record that has all of one.

use std::time::Duration;

use plexum_openai_provider_tests::random::Random;

/// A prompt.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// A word that no other prompt has.
    pub word: String,
    /// What the model is asked for.
    text: String,
    /// How long that takes it and its tools, at least.
    pub takes: Duration,
    /// What it answers, one message after the other.
    pub answers: Vec<String>,
    /// What its tool prints, if it has one. The prompt does not say it.
    pub printed: Option<String>,
}

impl Prompt {
    /// One for the turn of this number.
    pub fn new(number: usize, random: &mut Random) -> Self {
        let word = format!("turn-{number}.");
        // In milliseconds.
        let takes = 500 + random.number() % 3000;
        let product = 1_000_003 + number * 7;
        let pause = format!("{}.{:03}", takes / 1000, takes % 1000);
        let tool = format!("sleep {pause}; echo $(({product}*3))");
        let printed = Some((product * 3).to_string());
        let (asked, answers, printed) = match random.number() % 10 {
            0..=3 => (
                format!("mock:shell={tool}"),
                vec!["done".to_owned()],
                printed,
            ),
            4..=5 => {
                let answers = ["I will look", "done"].map(str::to_owned).to_vec();
                (format!("mock:comment={tool}"), answers, printed)
            }
            6..=8 => {
                let pieces = takes / 100;
                let answer = (1..=pieces).map(|number| format!("part {number} "));
                (
                    format!("mock:slow={pieces},100"),
                    vec![answer.collect()],
                    None,
                )
            }
            _ => {
                let answer = format!("the answer to {word}");
                (format!("mock:text={answer}"), vec![answer], None)
            }
        };
        Prompt {
            text: format!("{asked}\n{word}"),
            word,
            takes: Duration::from_millis(takes),
            answers,
            printed,
        }
    }

    /// What the model is asked for.
    pub fn text(&self) -> &str {
        &self.text
    }
}
