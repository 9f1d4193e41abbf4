//! Threads that must not keep others waiting.

/// From here on, this thread runs when no other wants to: one that serves gets the core in the moment it has a request. Niceness alone would let
/// it wait for milliseconds.
pub fn give_way() {
    #[cfg(target_os = "linux")]
    {
        use thread_priority::{
            NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
        };
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        // Where a sandbox refuses it, everything works, less smoothly.
        if let Err(error) = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle) {
            tracing::info!("threads beside those that serve do not give way to them: {error:?}");
        }
    }
}
