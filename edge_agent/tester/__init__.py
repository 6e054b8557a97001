"""External test equipment, as SAE J1979 calls it: asks the ECUs of a car, whatever adapter lies between."""
