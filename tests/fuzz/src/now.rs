//! Futures without a runtime.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// What a future gives at once, if it does; it is dropped if it would wait.
pub fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
