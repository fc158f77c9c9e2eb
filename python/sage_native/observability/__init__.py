"""What happens, as an operator sees it: back ends that listen to events and requests."""
