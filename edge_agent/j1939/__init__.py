"""What heavy vehicles broadcast by SAE J1939, only listened to: parameters, and active trouble codes (DM1)."""
