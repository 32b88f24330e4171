"""What the service and the workers share: settings, the language step, the store."""
