"""AudioSocket, the protocol between Asterisk and this service, without any I/O."""
