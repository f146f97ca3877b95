"""Quality against the number of steps: flow maps learnt by four rules, next to the ODE of a network of its own."""
