"""The demo: six virtual cars, the whole path, a fault in the middle. Start with :mod:`wearcast.demo.run`."""
