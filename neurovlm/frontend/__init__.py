"""The event frontend and STTF's change detector as spiking graphs."""
