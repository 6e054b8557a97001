"""Questions from afar: what the backend asks over the broker is answered from what is read anyway."""
