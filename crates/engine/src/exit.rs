//! The way out of one sandbox of a run: its modules, its output, the tasks that it calls.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use capsule_backend::guest::{Channel, GuestError, Outside, Pending, Source};
use capsule_spec::{ErrorCode, Failure};

use crate::answer::to_caller;
use crate::output::Held;
use crate::programs::Asked;
use crate::settings::LONGEST_NAME as LONGEST_PROGRAM;
use crate::value::Bytes;
use crate::workers;
use crate::workflow::{Frame, Shared};

/// No task has a longer name, with that of its program before it.
const LONGEST_NAME: usize = 800 + LONGEST_PROGRAM + 1;

/// The way out of one sandbox.
pub(crate) struct Exit {
    /// Weak, because the workflow may hold the sandbox.
    workflow: Weak<Shared>,
    /// Which of its programs runs there.
    program: usize,
    pub(crate) held: Held,
    /// Set when a call begins; a program that only declares calls nothing.
    frame: OnceLock<Frame>,
    /// Modules that were looked for before that.
    asked: Mutex<Asked>,
}

impl Exit {
    pub(crate) fn new(workflow: &Arc<Shared>, program: usize, held: Held) -> Self {
        let (workflow, asked) = (Arc::downgrade(workflow), Mutex::default());
        Self { workflow, program, held, frame: OnceLock::new(), asked }
    }

    /// Modules that the program looked for while it was loaded.
    pub(crate) fn asked(&self) -> Asked {
        std::mem::take(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn enter(&self, frame: Frame) {
        let _ = self.frame.set(frame);
    }
}

impl Outside for Exit {
    fn source(&self, module: &str) -> Option<Source> {
        let found = self.workflow.upgrade()?.program(self.program)?.project.source(module);
        if self.frame.get().is_none() {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.add(module, found.as_ref());
        }
        found
    }

    fn output(&self, channel: Channel, bytes: &[u8]) {
        if let Some(workflow) = self.workflow.upgrade()
            && !self.held.keep(channel, bytes)
        {
            workflow.output.write(channel, bytes);
        }
    }

    fn call(
        &self,
        function: &str,
        arguments: String,
    ) -> Pending<'static, Result<String, GuestError>> {
        let (Some(frame), Some(workflow)) = (self.frame.get().cloned(), self.workflow.upgrade())
        else {
            return Box::pin(std::future::ready(Err(GuestError::Raised {
                kind: "RuntimeError".to_owned(),
                message: format!(
                    "task {function:?} was called while the program was being loaded; call it inside a task"
                ),
                traceback: String::new(),
            })));
        };
        let held = if function.len() > LONGEST_NAME {
            Err(Failure::new(
                ErrorCode::UnknownFunction,
                "the program has no task with a name that long",
            ))
        } else {
            Bytes::hold(&workflow.given, arguments.len()).ok_or_else(|| {
                let message = format!(
                    "the arguments of calls under way take more than {} bytes",
                    workflow.limits.arguments
                );
                Failure::new(ErrorCode::CallLimit, message)
            })
        };
        let held = match held {
            Ok(held) => held,
            Err(failure) => return Box::pin(std::future::ready(Err(GuestError::Failed(failure)))),
        };
        let call = workflow.call(self.program, function.to_owned(), arguments, frame);
        let call = async move {
            let _held = held;
            call.await
        };
        Box::pin(async move {
            match workers::elsewhere(call).await.value {
                Ok(value) => Ok(value.get().to_owned()),
                Err(error) => Err(to_caller(error)),
            }
        })
    }
}
