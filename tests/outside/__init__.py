"""Programs as other projects write them on this one, and the test that runs and type-checks them as installed."""
