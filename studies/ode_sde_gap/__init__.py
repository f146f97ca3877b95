"""Does a penalty on the Fokker-Planck residual close the gap between flow and SDE?"""
