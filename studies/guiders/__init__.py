"""Rules of guidance on an exact mixture, with the tilt that none of them samples, and autoguidance on two moons."""
