"""What stands in the monitor's window. Each widget is given numbers and shows them; none computes any."""
