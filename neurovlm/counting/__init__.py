"""From what a run did to a hw_models.Workload."""
