"""What the machine does meanwhile: NVML where there is a driver, else the workers' processes."""
