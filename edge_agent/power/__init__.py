"""Kind to the car's 12 V battery: when the agent talks to the car, when it sends, and when its power is cut."""
