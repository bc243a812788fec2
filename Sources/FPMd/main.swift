print("fpmd")
