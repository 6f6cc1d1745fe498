"""Where and when the work runs: plan, schedule, pools, worker."""
