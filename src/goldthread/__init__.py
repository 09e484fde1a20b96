"""goldthread keeps a running Python program alive through the death of its process or of its machine.

import goldthread

    with goldthread.join("walk") as life:
        state = life.restore({"step": 0})
        while state["step"] < 1_000:
            state["step"] += 1
            life.commit(state)
"""
