"""Other people's simulators, each in its fastest honest form, behind one small interface."""
