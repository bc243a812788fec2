print("fpmd-php")
